"""RefineMask's loss against one cell at a time."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional.boundary import mask_boundaries, upsample_band
from mmseghead.models.losses.boundary_refinement_loss import (
    BoundaryRefinementLoss, refinement_regions)

SIZES = (7, 14, 28, 56)


def smooth(size, seed, rois=3):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(rois, 1, 4, 4, generator=generator)
    return 4 * F.interpolate(
        noise, (size, size), mode='bicubic', align_corners=False)


def case(seed=0, rois=3, sizes=SIZES):
    """Logits that agree in part with each other and with the targets."""
    pred = [smooth(s, seed, rois) + smooth(s, seed + s, rois) for s in sizes]
    target = [
        (smooth(s, seed, rois) + smooth(s, seed + 999, rois) / 2 >= 0)[:, 0]
        for s in sizes
    ]
    return pred, [maps.float() for maps in target]


def boundary(mask, width):
    padded = np.pad(mask.astype(float), width)
    out = np.zeros(mask.shape, bool)
    for y, x in np.ndindex(mask.shape):
        share = padded[y:y + 2 * width + 1, x:x + 2 * width + 1].mean()
        out[y, x] = (1 - share if mask[y, x] else share) > 0.1
    return out


def up(maps):
    """Double the size, the outermost cells at the corners."""
    size = len(maps)
    places = np.arange(2 * size) * (size - 1) / (2 * size - 1)
    weights = np.clip(1 - np.abs(places[:, None] - np.arange(size)), 0, 1)
    return weights @ maps @ weights.T


def slow_loss(pred, target, factors):
    pred = [p[:, 0].double().numpy() for p in pred]
    target = [t.numpy().astype(bool) for t in target]
    sums, cells = [0.] * len(pred), [0] * len(pred)
    for roi in range(len(pred[0])):
        current = None
        for s, factor in enumerate(factors):
            logits, goal = pred[s][roi], target[s][roi]
            region = np.ones_like(goal)
            if s >= 2:
                near = boundary(current >= 0, 2) | boundary(
                    target[s - 1][roi], 2)
                region = up(near.astype(float)) >= 0.5
            cell_losses = np.logaddexp(0, -logits) * goal + np.logaddexp(
                0, logits) * ~goal
            sums[s] += cell_losses[region].sum()
            cells[s] += region.sum()
            if s < 2:
                current = logits
            else:  # as a test goes on
                band = up(boundary(current >= 0, 1).astype(float)) >= 0.5
                current = np.where(band, logits, up(current))
    return sum(f * total / max(count, 1)
               for f, total, count in zip(factors, sums, cells))


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10**6),
       st.sampled_from([(0.25, 0.5, 0.75, 1.), (0.5, 0.75, 0.75, 1.)]))
def test_equals_a_loop(seed, factors):
    pred, target = case(seed)
    got = BoundaryRefinementLoss(factors)(pred, target)
    assert float(got) == pytest.approx(slow_loss(pred, target, factors),
                                       rel=1e-5)


def test_golden_values():
    """Zero logits cost log 2 a cell, everywhere and in any region."""
    pred = [torch.zeros(2, 1, s, s) for s in SIZES]
    target = [torch.ones(2, s, s) for s in SIZES]
    loss = BoundaryRefinementLoss()
    assert float(loss(pred, target)) == pytest.approx(2.5 * math.log(2))
    assert float(BoundaryRefinementLoss((0.5, 0.75, 0.75, 1), loss_weight=2)(
        pred, target)) == pytest.approx(6 * math.log(2))
    # A full mask, predicted as such: its boundary is a frame of 2 cells, of
    # the stage before, and costs log(1 + e^-1).
    pred = [torch.ones(1, 1, s, s) for s in SIZES]
    target = [torch.ones(1, s, s) for s in SIZES]
    assert float(loss(pred, target)) == pytest.approx(2.5 * math.log1p(
        math.exp(-1)))
    pred[3][..., 20:36, 20:36] = -50.  # far within the frame
    assert float(loss(pred, target)) == pytest.approx(2.5 * math.log1p(
        math.exp(-1)))
    pred[3][..., 3, 30] = -50.  # one of 56^2 - 48^2 cells
    assert float(loss(pred, target)) == pytest.approx(
        2.5 * math.log1p(math.exp(-1)) +
        (50 - math.log1p(math.exp(-1))) / (56**2 - 48**2), rel=1e-5)


def test_first_stages_are_plain_means():
    pred, target = case(1)
    for index in (0, 1):
        factors = [0.] * 4
        factors[index] = 1.
        got = BoundaryRefinementLoss(factors)(pred, target)
        want = F.binary_cross_entropy_with_logits(pred[index][:, 0],
                                                  target[index])
        assert torch.allclose(got, want)


def test_perfect_masks_cost_nothing():
    _, target = case(2)
    pred = [200 * (maps[:, None] - 0.5) for maps in target]
    assert float(BoundaryRefinementLoss()(pred, target)) < 1e-6


def test_outside_of_its_region_a_stage_is_free():
    pred, target = case(3)
    regions = refinement_regions(pred, target)
    assert regions[:2] == [None, None]
    loss = BoundaryRefinementLoss()
    before = loss(pred, target)
    for index in (2, 3):
        share = regions[index].float().mean()
        assert 0.05 < share < 0.95
    changed = [p.clone() for p in pred]
    changed[3][~regions[3]] = math.inf
    assert torch.equal(loss(changed, target), before)
    changed[3] = torch.where(regions[3], pred[3] + 1, pred[3])
    assert not torch.allclose(loss(changed, target), before)


def test_gradients_stay_within_the_regions():
    pred, target = case(4)
    pred = [(p / 9).requires_grad_() for p in pred]  # or some vanish
    regions = refinement_regions(pred, target)
    BoundaryRefinementLoss()(pred, target).backward()
    for index in (0, 1):
        assert (pred[index].grad != 0).all()
    for index in (2, 3):
        assert torch.equal(pred[index].grad != 0, regions[index])
        assert not regions[index].requires_grad
    # None reaches a stage from the region of a later one.
    pred = [p.detach().requires_grad_() for p in pred]
    BoundaryRefinementLoss((0, 0, 0, 1))(pred, target).backward()
    assert not any(p.grad.any() for p in pred[:3])


def test_regions_follow_the_fused_mask():
    """The last region is that of the mask a test would see, not of stage 2."""
    pred, target = case(5)
    regions = refinement_regions(pred, target)
    alone = upsample_band(
        mask_boundaries(pred[2] >= 0, 2)
        | mask_boundaries(target[2][:, None], 2))
    assert (regions[3] != alone).float().mean() > 0.02
    wide = refinement_regions(pred, target, width=3)
    assert (wide[2] | ~regions[2]).all() and (wide[2] & ~regions[2]).any()
    assert refinement_regions(pred, target, start_stage=2)[2] is None


def test_empty_regions_and_no_rois():
    pred = [torch.full((2, 1, s, s), -9.) for s in SIZES]
    target = [torch.zeros(2, s, s) for s in SIZES]
    loss = BoundaryRefinementLoss((0, 0, 1, 1))(pred, target)
    assert float(loss) == 0
    pred = [torch.zeros(0, 1, s, s, requires_grad=True) for s in SIZES]
    loss = BoundaryRefinementLoss()(pred, [t[:0] for t in target])
    loss.backward()
    assert float(loss.detach()) == 0 and all(
        p.grad is not None for p in pred)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    pred, target = case(6)
    low = [p.to(dtype) for p in pred]
    got = BoundaryRefinementLoss()(low, target)
    want = BoundaryRefinementLoss()([p.float() for p in low], target)
    assert got.dtype == torch.float32 and torch.equal(got, want)


def test_weights_and_reductions():
    pred, target = case(7)
    loss = BoundaryRefinementLoss((0, 1, 0, 0))
    one = [F.binary_cross_entropy_with_logits(p[:, 0], t, reduction='sum')
           for p, t in zip(pred[1].split(1), target[1].split(1))]
    weight = torch.tensor([1., 0., 3.])
    assert torch.allclose(
        loss(pred, target, weight, reduction_override='sum'),
        one[0] + 3 * one[2])
    assert torch.allclose(
        loss(pred, target, avg_factor=11.), sum(one) / 11)


def test_errors():
    pred, target = case(8)
    loss = BoundaryRefinementLoss()
    with pytest.raises(ValueError, match='must have 4 maps.*got 3 and 4'):
        loss(pred[:3], target)
    with pytest.raises(ValueError, match="'mean' or 'sum', got 'none'"):
        loss(pred, target, reduction_override='none')
    with pytest.raises(ValueError, match='0 to 3, got 4'):
        BoundaryRefinementLoss(start_stage=4)
