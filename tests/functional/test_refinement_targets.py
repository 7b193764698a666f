"""Targets of masks that are refined step by step."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional.box_masks import mask_coverage
from mmseghead.functional.refinement_targets import refinement_targets

SIZES = (14, 28, 56, 112)


def slow_targets(coverage, size, eps):
    """What a cell's finest cells say, one cell at a time."""
    step = coverage.shape[-1] // size
    inside = torch.zeros(len(coverage), size, size, dtype=torch.bool)
    ambiguous = inside.clone()
    for r in range(len(coverage)):
        for y in range(size):
            for x in range(size):
                cells = coverage[r, y * step:(y + 1) * step,
                                 x * step:(x + 1) * step].double()
                inside[r, y, x] = cells.mean() > 0.5
                all_full = bool((cells >= 1 - eps).all())
                all_empty = bool((cells <= eps).all())
                ambiguous[r, y, x] = not (all_full or all_empty)
    return inside, ambiguous


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 2**31 - 1), st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 3))
def test_equals_a_loop(seed, size, rois):
    generator = torch.Generator().manual_seed(seed)
    coverage = torch.rand(rois, 8, 8, generator=generator)
    # Mostly full and empty cells, some of them rounded, and some shares
    # that add up to no exact half.
    kind = torch.randint(4, coverage.shape, generator=generator)
    coverage[kind == 0] = 0
    coverage[kind == 1] = 1 - 6e-8
    got = refinement_targets(coverage, size)
    want = slow_targets(coverage, size, 1e-4)
    assert torch.equal(got.inside, want[0])
    assert torch.equal(got.ambiguous, want[1])


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**31 - 1))
def test_parents_of_ambiguous_cells_are_ambiguous(seed):
    generator = torch.Generator().manual_seed(seed)
    coverage = (torch.rand(2, 112, 112, generator=generator) > 0.999).float()
    # So thin that the share of it in a coarse cell is below the threshold.
    coverage *= 2e-4
    for fine, coarse in zip(SIZES[::-1], SIZES[-2::-1]):
        children = refinement_targets(coverage, fine).ambiguous
        parents = refinement_targets(coverage, coarse).ambiguous
        grown = parents.repeat_interleave(2, 1).repeat_interleave(2, 2)
        assert (grown | ~children).all()
        assert children.any()


def coverage_of(mask, box):
    return mask_coverage(mask[None], torch.zeros(1, dtype=torch.long),
                         torch.tensor([box]), 112)


@pytest.mark.parametrize('value', [0, 1])
@pytest.mark.parametrize('box', [[3., 5., 100., 60.], [10.3, 7.7, 11.1, 9.2],
                                 [0., 0., 120., 80.]])
def test_uniform_masks_have_no_edges(value, box):
    """RoIAlign of ones is not exactly one (1 - 6e-8 in places)."""
    coverage = coverage_of(torch.full((80, 120), value), box)
    for size in SIZES:
        targets = refinement_targets(coverage, size)
        assert not targets.ambiguous.any()
        assert (targets.inside == bool(value)).all()


def test_half_plane():
    mask = torch.zeros(112, 224)
    mask[:, 120:] = 1
    coverage = coverage_of(mask, [0., 0., 224., 112.])  # 2 x 1 px a cell
    for size in SIZES:
        targets = refinement_targets(coverage, size)
        crossed = targets.ambiguous.any(1)[0].nonzero()[:, 0].tolist()
        edge = 120 / 224 * size
        # A sample is bilinear: it sees the edge from half a pixel away.
        assert all(abs(column + 0.5 - edge) <= 0.5 + size / 224
                   for column in crossed)
        columns = torch.arange(size) + 0.5
        clear = (columns - edge).abs() > 0.5
        assert torch.equal(targets.inside[0, 0][clear], (columns > edge)[clear])


def test_pooled_coverage_is_close_to_that_of_each_size():
    """One RoIAlign stands for the four of the paper."""
    ys, xs = torch.meshgrid(
        torch.arange(90.), torch.arange(130.), indexing='ij')
    mask = ((ys - 41)**2 / 900 + (xs - 67)**2 / 2500 < 1).float()
    box = [[11.3, 6.2, 125.8, 83.9]]
    inds = torch.zeros(1, dtype=torch.long)
    fine = mask_coverage(mask[None], inds, torch.tensor(box), 112)
    for size in SIZES[:3]:
        own = mask_coverage(mask[None], inds, torch.tensor(box), size)
        pooled = refinement_targets(fine, size)
        sure = (own - 0.5).abs() > 0.1
        assert torch.equal(pooled.inside[sure], (own > 0.5)[sure])
        edges = (own > 0.05) & (own < 0.95)
        assert pooled.ambiguous[edges].all()


def test_no_roi():
    targets = refinement_targets(torch.zeros(0, 112, 112), 14)
    assert targets.inside.shape == targets.ambiguous.shape == (0, 14, 14)


@pytest.mark.parametrize('size', [0, 3, 13, 224])
def test_size_divides(size):
    with pytest.raises(ValueError, match='must divide'):
        refinement_targets(torch.zeros(1, 112, 112), size)
