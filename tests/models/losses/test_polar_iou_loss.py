"""Polar IoU loss: worked values, properties, options."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.models.losses import PolarIoULoss
from mmseghead.registry import MODELS

PRED, TARGET = torch.tensor([[4., 6, 4, 6]]), torch.tensor([[5., 5, 5, 5]])


def rays(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return 1 + 50 * torch.rand(*shape, generator=generator)


@pytest.mark.parametrize('options, value', [
    (dict(), .200671),
    (dict(power=2), .397302),
    (dict(reduce_rays='mean_log'), .202733),
])
def test_worked_values(options, value):
    assert PolarIoULoss(**options)(PRED, TARGET).item() == pytest.approx(
        value, abs=1e-6)


def test_worked_overlaps():
    for power, overlap in ((1, .818182), (2, .672131)):
        loss = PolarIoULoss(power=power)(PRED, TARGET)
        assert math.exp(-loss) == pytest.approx(overlap, abs=1e-6)


def test_worked_gradient():
    pred = PRED.clone().requires_grad_()
    PolarIoULoss()(pred, TARGET).backward()
    assert pred.grad[0].tolist() == pytest.approx(
        [-1 / 18, 1 / 22, -1 / 18, 1 / 22])


def test_worked_weights():
    pred = torch.cat((PRED, torch.tensor([[3., 5, 3, 5]])))
    target = torch.cat((TARGET, torch.tensor([[4., 4, 4, 4]])))
    loss = PolarIoULoss()
    assert loss(pred, target, reduction_override='none').tolist() == (
        pytest.approx([.200671, .251314], abs=1e-6))
    weight = torch.tensor([1, .774597])
    assert loss(pred, target, weight, avg_factor=weight.sum().item()
                ).item() == pytest.approx(.222776, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 9),
       st.sampled_from([(1, 'ratio'), (2, 'ratio'), (1, 'mean_log'),
                        (2, 'mean_log')]))
def test_loss_is_symmetric_positive_and_scale_free(seed, factor, options):
    loss = PolarIoULoss(*options, reduction='none')
    a, b = rays(seed, 7, 24), rays(seed + 1, 7, 24)
    value = loss(a, b)
    assert value.shape == (7, ) and (value > 0).all()
    assert torch.equal(value, loss(b, a))
    assert torch.allclose(value, loss(a * factor, b * factor), rtol=1e-4)
    assert not loss(a, a).any()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2]),
       st.sampled_from(['ratio', 'mean_log']))
def test_loss_equals_a_slow_loop(seed, power, reduce_rays):
    a, b = rays(seed, 3, 8), rays(seed + 1, 3, 8)
    expected = []
    for one, other in zip(a.tolist(), b.tolist()):
        low = [min(p, q)**power for p, q in zip(one, other)]
        high = [max(p, q)**power for p, q in zip(one, other)]
        expected.append(
            math.log(sum(high) / sum(low)) if reduce_rays == 'ratio' else
            sum(math.log(h / s) for h, s in zip(high, low)) / len(low))
    loss = PolarIoULoss(power, reduce_rays, reduction='none')
    assert loss(a, b).tolist() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('reduce_rays', ['ratio', 'mean_log'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_empty_rays_are_finite(reduce_rays, dtype):
    pred = torch.full((2, 36), 500., dtype=dtype, requires_grad=True)
    target = torch.full((2, 36), 1e-6)
    target[0, 0] = 0
    loss = PolarIoULoss(2, reduce_rays)(pred, target)
    loss.backward()
    assert loss.isfinite() and pred.grad.isfinite().all()


def test_nothing_gives_a_connected_zero():
    pred = torch.zeros(0, 36, requires_grad=True)
    loss = PolarIoULoss()(pred, torch.zeros(0, 36), torch.zeros(0), 1e-6)
    loss.backward()
    assert loss.item() == 0 and pred.grad.shape == (0, 36)


def test_options():
    loss = MODELS.build(dict(type='PolarIoULoss', loss_weight=3.0))
    assert loss(PRED, TARGET).item() == pytest.approx(3 * .200671, abs=1e-5)
    with pytest.raises(ValueError, match='`power` of PolarIoULoss'):
        PolarIoULoss(power=3)
    with pytest.raises(ValueError, match='`reduce_rays` of PolarIoULoss'):
        PolarIoULoss(reduce_rays='mean')
    with pytest.raises(ValueError, match='`reduction` of PolarIoULoss'):
        PolarIoULoss(reduction='total')
    with pytest.raises(ValueError, match='`reduction_override`'):
        loss(PRED, TARGET, reduction_override='total')
