"""Boundaries of masks, and masks refined near them."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional.boundary import (mask_boundaries, read_cells,
                                           refine_in_band, refine_stages,
                                           upsample_band, upsample_logits)

seeds = st.integers(0, 2**31 - 1)


def blobs(*shape, seed=0, low=5):
    """Smooth logits: masks with insides, outsides and edges."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(*shape[:-2], low, low, generator=generator)
    return F.interpolate(
        noise, shape[-2:], mode='bicubic', align_corners=False) + 0.05


def laplacian_boundaries(mask, width):
    """The source's way: a kernel of -1 with k^2 - 1 in its centre."""
    side = 2 * width + 1
    kernel = torch.full((1, 1, side, side), -1.)
    kernel[0, 0, width, width] = side * side - 1

    def edges(maps):  # other cells around, also those outside of the map
        found = F.conv2d(F.pad(maps, [width] * 4), kernel)
        return found.clamp(min=0) / side**2 > 0.1

    inner = edges(mask)
    # Cells of the background look for foreground: outside there is none.
    outer = F.conv2d(F.pad(mask, [width] * 4), -kernel)
    outer = (outer.clamp(min=0) / side**2 > 0.1) & (mask == 0)
    return (inner & (mask == 1)) | outer


@settings(deadline=None, max_examples=40)
@given(seeds, st.sampled_from([1, 2, 3]), st.floats(0.02, 0.98),
       st.booleans())
def test_equals_the_laplacian_kernel(seed, width, share, smooth):
    generator = torch.Generator().manual_seed(seed)
    mask = (torch.rand(3, 1, 13, 11, generator=generator) < share).float()
    if smooth:
        mask = (blobs(3, 1, 13, 11, seed=seed) > 0.5 - share).float()
    assert torch.equal(
        mask_boundaries(mask, width), laplacian_boundaries(mask, width))


@settings(deadline=None, max_examples=25)
@given(seeds, st.sampled_from([1, 2, 3]))
def test_equals_a_count_of_cells(seed, width):
    """At least 1 of 8, 3 of 25, 5 of 49 cells of the other class."""
    least = {1: 1, 2: 3, 3: 5}[width]
    mask = (blobs(1, 1, 9, 7, seed=seed)[0, 0] > 0).numpy()
    want = np.zeros_like(mask)
    for y in range(9):
        for x in range(7):
            others = 0
            for v in range(y - width, y + width + 1):
                for u in range(x - width, x + width + 1):
                    inside = 0 <= v < 9 and 0 <= u < 7
                    others += (bool(mask[v, u]) if inside else False) != \
                        bool(mask[y, x])
            want[y, x] = others >= least
    got = mask_boundaries(torch.from_numpy(mask), width)
    assert np.array_equal(got.numpy(), want)


@pytest.mark.parametrize('width', [1, 2, 3])
def test_empty_and_full_masks(width):
    assert not mask_boundaries(torch.zeros(2, 1, 9, 9), width).any()
    frame = torch.ones(9, 9, dtype=torch.bool)
    frame[width:-width, width:-width] = False
    got = mask_boundaries(torch.ones(2, 1, 9, 9), width)
    assert torch.equal(got, frame.expand_as(got))


def test_one_cell():
    mask = torch.zeros(1, 1, 7, 8)
    mask[..., 3, 4] = 1
    block = torch.zeros(7, 8, dtype=torch.bool)
    block[2:5, 3:6] = True
    assert torch.equal(mask_boundaries(mask, 1)[0, 0], block)
    # 1 of 25 is not enough for its neighbours, 24 of 25 is for itself.
    assert torch.equal(mask_boundaries(mask, 2)[0, 0], mask[0, 0].bool())


@pytest.mark.parametrize('dtype', [
    torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16,
    torch.float64
])
def test_types_of_masks(dtype):
    mask = blobs(2, 3, 12, 14) > 0
    want = mask_boundaries(mask.float(), 2)
    got = mask_boundaries(mask.to(dtype), 2)
    assert got.dtype == torch.bool and torch.equal(got, want)
    assert torch.equal(mask_boundaries(mask[0, 1].to(dtype), 2), want[0, 1])


def test_no_mask_and_wrong_width():
    assert mask_boundaries(torch.zeros(0, 1, 8, 8), 1).shape == (0, 1, 8, 8)
    with pytest.raises(ValueError, match='`width`.*>= 1, got 0'):
        mask_boundaries(torch.zeros(1, 1, 8, 8), 0)


def slow_upsample(maps):
    """Double an (S, S) array, the outermost cells at the corners."""
    size = len(maps)
    out = np.zeros((2 * size, 2 * size))
    for y in range(2 * size):
        for x in range(2 * size):
            v, u = (i * (size - 1) / (2 * size - 1) for i in (y, x))
            top, left = int(v), int(u)
            bottom, right = min(top + 1, size - 1), min(left + 1, size - 1)
            v, u = v - top, u - left
            out[y, x] = ((1 - v) * ((1 - u) * maps[top, left] +
                                    u * maps[top, right]) + v *
                         ((1 - u) * maps[bottom, left] +
                          u * maps[bottom, right]))
    return out


def slow_boundary(mask, width):
    padded = np.pad(mask.astype(float), width)
    out = np.zeros(mask.shape, bool)
    for y, x in np.ndindex(mask.shape):
        share = padded[y:y + 2 * width + 1, x:x + 2 * width + 1].mean()
        out[y, x] = (1 - share if mask[y, x] else share) > 0.1
    return out


def slow_fusion(stages, start):
    """As a test does it, one RoI at a time, in the source's own words."""
    current = stages[start]
    for fine in stages[start + 1:]:
        mask = 1 / (1 + np.exp(-current)) >= 0.5
        keep = slow_upsample(1. - slow_boundary(mask, 1)) >= 0.5
        fine = fine.copy()
        fine[keep] = slow_upsample(current)[keep]
        current = fine
    return current


@settings(deadline=None, max_examples=8)
@given(seeds, st.sampled_from([0, 1]))
def test_fusion_equals_a_loop(seed, start):
    stages = [
        blobs(2, 1, size, size, seed=seed + size).double()
        for size in (5, 10, 20)
    ]
    got = refine_stages(stages, start)
    for roi in range(2):
        want = slow_fusion([s[roi, 0].numpy() for s in stages], start)
        assert np.allclose(got[roi, 0].numpy(), want, atol=1e-9)


def test_later_stages_change_bands_only():
    stages = [blobs(3, 1, 8 * 2**i, 8 * 2**i, seed=i) for i in range(4)]
    kept = [stage.clone() for stage in stages]
    stages[2].fill_(100.)
    stages[3].fill_(-100.)
    got = refine_stages(stages)
    first = upsample_band(mask_boundaries(stages[1] >= 0, 1))
    fused = torch.where(first, stages[2], upsample_logits(stages[1]))
    second = upsample_band(mask_boundaries(fused >= 0, 1))
    far = ~second & (upsample_logits(first.float()) == 0)
    twice = upsample_logits(upsample_logits(stages[1]))
    assert torch.equal(got[far], twice[far])
    assert (got[second] == -100).all() and not (got[~second] == -100).any()
    assert far.float().mean() > 0.2 and second.float().mean() > 0.05
    assert torch.equal(stages[1], kept[1])
    assert (stages[2] == 100).all() and (stages[3] == -100).all()


def test_without_boundaries_nothing_is_refined():
    coarse = -torch.rand(2, 1, 7, 7)
    stages = [coarse, torch.ones(2, 1, 14, 14), torch.ones(2, 1, 28, 28)]
    assert torch.equal(
        refine_stages(stages, 0), upsample_logits(upsample_logits(coarse)))
    assert refine_stages(stages, 2) is stages[2]


def test_band_reaches_as_far_as_its_width():
    coarse = torch.full((1, 1, 16, 16), -1.)
    coarse[..., 8:] = 1
    fine = torch.full((1, 1, 32, 32), 7.)
    counts = [
        int((refine_in_band(coarse, fine, w) == 7)[0, 0, 16].sum())
        for w in (1, 2)
    ]
    # The right side is a boundary too: outside of the map is background.
    assert counts == [6, 12]


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(2, 14))
def test_upsampled_boundaries_are_never_tied(seed, size):
    generator = torch.Generator().manual_seed(seed)
    boundary = torch.rand(1, 1, size, size, generator=generator) > 0.5
    values = slow_upsample(boundary[0, 0].double().numpy())
    assert (np.abs(values - 0.5) > 1e-4).all()
    assert np.array_equal(upsample_band(boundary)[0, 0].numpy(), values > 0.5)


@pytest.mark.parametrize('size', [1, 2, 5, 56])
@pytest.mark.parametrize('aligned', [True, False])
def test_cells_read_by_an_upsampling(size, aligned):
    """Along one axis: what a cell changes, it is read for."""
    impulses = torch.eye(size)[:, None]  # one cell each
    changed = F.interpolate(
        impulses, scale_factor=2, mode='linear',
        align_corners=False)[:, 0] != 0
    if aligned:
        square = impulses[..., None].expand(-1, -1, -1, size)
        changed = (upsample_logits(square) != 0)[:, 0, :, 0]
    read = torch.zeros(size, 2 * size, dtype=torch.bool)
    for fine in range(2 * size):
        cells = torch.zeros(1, 1, 2 * size, 2 * size, dtype=torch.bool)
        cells[..., fine, 0] = True
        read[:, fine] = read_cells(cells)[0, 0, :, 0]
    assert (read | ~changed).all()
    assert read.sum() <= 4 * size  # and no more than the neighbours


def test_no_roi():
    assert read_cells(torch.zeros(0, 1, 8, 8).bool()).shape == (0, 1, 4, 4)
    stages = [torch.zeros(0, 1, size, size) for size in (14, 28, 56, 112)]
    assert refine_stages(stages).shape == (0, 1, 112, 112)
    assert upsample_logits(torch.zeros(0, 3, 5, 6)).shape == (0, 3, 10, 12)
    assert upsample_band(torch.zeros(0, 1, 5, 5).bool()).dtype == torch.bool
