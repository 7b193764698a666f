"""Sigmoid focal loss against the definition and autograd."""
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.ops import focal_loss as ops

NO_WEIGHT = torch.zeros(0)


def definition(logits, target, weight, gamma, alpha):
    """(N, C) loss written as -alpha_t (1 - p_t)^gamma log(p_t)."""
    hit = torch.nn.functional.one_hot(
        target, logits.shape[1] + 1)[:, :-1].bool()
    prob = torch.where(hit, logits, -logits).sigmoid()
    share = torch.where(hit, alpha, 1 - alpha)
    loss = -share * (1 - prob)**gamma * prob.log()
    return loss if weight is None else loss * weight[target][:, None]


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 7), st.integers(1, 5), st.integers(0, 10**6),
       st.sampled_from([0., 1., 2., 2.5]), st.sampled_from([.25, .5, 1.]),
       st.booleans())
def test_loss_and_gradient_equal_definition(count, classes, seed, gamma,
                                            alpha, weighted):
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(count, classes, generator=generator).double()
    target = torch.randint(
        0, classes + (not weighted), (count, ), generator=generator)
    weight = torch.rand(classes, generator=generator).double() + .5
    weight = weight if weighted else None
    logits.requires_grad_()
    expected = definition(logits, target, weight, gamma, alpha)
    grad, = torch.autograd.grad(expected.sum(), logits)
    got, got_grad = torch.zeros_like(logits), torch.zeros_like(logits)
    with torch.no_grad():
        args = logits, target, NO_WEIGHT if weight is None else weight
        ops.sigmoid_focal_loss_forward(*args, got, gamma=gamma, alpha=alpha)
        ops.sigmoid_focal_loss_backward(
            *args, got_grad, gamma=gamma, alpha=alpha)
    torch.testing.assert_close(got, expected.detach())
    torch.testing.assert_close(got_grad, grad)


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[200., -200.], [-200., 200.]])
    target = torch.tensor([0, 0])
    got, grad = torch.zeros_like(logits), torch.zeros_like(logits)
    ops.sigmoid_focal_loss_forward(logits, target, NO_WEIGHT, got, 2., .25)
    ops.sigmoid_focal_loss_backward(logits, target, NO_WEIGHT, grad, 2., .25)
    lowest = -math.log(torch.finfo(torch.float32).tiny)
    torch.testing.assert_close(
        got, torch.tensor([[0, 0], [.25 * lowest, .75 * lowest]]))
    assert grad.isfinite().all()


def test_background_of_weighted_classes_weighs_one():
    logits, weight = torch.tensor([[.3, -.2, .9]]), torch.tensor([2., 3, 5])
    loss = [torch.zeros_like(logits) for _ in range(2)]
    target = torch.tensor([3])
    ops.sigmoid_focal_loss_forward(logits, target, weight, loss[0], 2., .25)
    ops.sigmoid_focal_loss_forward(logits, target, NO_WEIGHT, loss[1], 2., .25)
    assert torch.equal(*loss)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_rounds_the_single_result(dtype):
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    logits = logits.to(dtype)
    target = torch.tensor([0, 3, 2, 1])
    single, half = torch.zeros(4, 3), torch.zeros(4, 3, dtype=dtype)
    for values, out in ((logits.float(), single), (logits, half)):
        ops.sigmoid_focal_loss_forward(values, target, NO_WEIGHT, out, 2., .25)
    assert torch.equal(half, single.to(dtype))


@pytest.mark.parametrize('reduction', ['none', 'sum', 'mean'])
def test_gradcheck_through_mmcv(torch_ops, reduction):
    logits = torch.randn(
        4, 3, generator=torch.Generator().manual_seed(2)).double()
    target, weight = torch.tensor([0, 2, 1, 1]), torch.rand(3).double() + .5
    # mmcv multiplies the saved derivative by a gradient of the same shape.
    assert torch.autograd.gradcheck(
        lambda x: torch_ops.sigmoid_focal_loss(x, target, 2., .25, weight,
                                               reduction),
        logits.requires_grad_())


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a CUDA device')
def test_gpu_equals_cpu():
    logits = torch.randn(50, 7)
    target = torch.randint(0, 8, (50, ))
    out, out_gpu = torch.zeros(50, 7), torch.zeros(50, 7, device='cuda')
    ops.sigmoid_focal_loss_forward(logits, target, NO_WEIGHT, out, 2., .25)
    ops.sigmoid_focal_loss_forward(logits.cuda(), target.cuda(),
                                   NO_WEIGHT.cuda(), out_gpu, 2., .25)
    torch.testing.assert_close(out_gpu.cpu(), out)
