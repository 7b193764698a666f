"""Reading parts of maps equals resizing the whole map."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional.map_regions import paste_map_region, resize_by_stride
from mmseghead.functional.mask_parts import collect_masks


def pasted(scores, box, scale, size):
    part = paste_map_region(0, scores, box, 4, scale, size, threshold=0.5)
    return collect_masks([part], 1, size)[0]


@settings(max_examples=40, deadline=None)
@given(
    st.floats(-3, 40), st.floats(-3, 30), st.floats(0, 30), st.floats(0, 25),
    st.integers(0, 9))
def test_paste_equals_whole_resize(x, y, w, h, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(7, 10, generator=generator)
    box = torch.tensor([x, y, x + w, y + h])
    mask = pasted(scores, box, (1., 1.), (28, 40))
    whole = F.interpolate(
        scores[None, None], size=(28, 40), mode='bilinear')[0, 0] > 0.5
    xs, ys = torch.arange(40) + 0.5, torch.arange(28) + 0.5
    inside = ((ys >= y) & (ys < y + h))[:, None] & ((xs >= x) & (xs < x + w))
    if inside.any():
        assert torch.equal(mask, whole & inside)
    else:
        # A box without a pixel centre gets one row or column all the same.
        rows, columns = (ys >= y) & (ys < y + h), (xs >= x) & (xs < x + w)
        assert mask.sum() <= max(rows.sum(), 1) * max(columns.sum(), 1)


def test_paste_onto_a_rescaled_image():
    """Output pixels of half the size: the same places, read more finely."""
    scores = torch.rand(6, 9, generator=torch.Generator().manual_seed(3))
    box = torch.tensor([0., 0., 72., 48.])
    mask = pasted(scores, box, (0.5, 0.5), (48, 72))
    whole = F.interpolate(
        scores[None, None], size=(48, 72), mode='bilinear')[0, 0] > 0.5
    assert torch.equal(mask, whole)


@pytest.mark.parametrize('target, size', [(2, (10, 14)), (4, (5, 7)),
                                          (8, (3, 4))])
def test_a_ramp_stays_a_ramp(target, size):
    """Half-pixel centres: a linear map has the same values at all strides."""
    ys, xs = torch.meshgrid(
        (torch.arange(6) + 0.5) * 4, (torch.arange(8) + 0.5) * 4,
        indexing='ij')
    maps = resize_by_stride((xs + 10 * ys)[None], 4, target, size)
    assert maps.shape == (1, *size)
    rows = (torch.arange(size[0]) + 0.5) * target
    columns = (torch.arange(size[1]) + 0.5) * target
    wanted = columns + 10 * rows[:, None]
    # Beyond the outermost centres there is nothing to interpolate.
    inner = ((rows >= 2) & (rows <= 22))[:, None]
    inner = inner & (columns >= 2) & (columns <= 30)
    assert torch.allclose(maps[0][inner], wanted[inner], atol=1e-4)


def test_resize_pads_and_takes_nothing():
    padded = resize_by_stride(torch.ones(2, 3, 4), 8, 8, (5, 4))
    assert padded[:, :3].eq(1).all() and not padded[:, 3:].any()
    nothing = resize_by_stride(torch.ones(0, 3, 4), 8, 4, (6, 8))
    assert nothing.shape == (0, 6, 8)
