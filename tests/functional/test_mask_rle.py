"""Our RLEs are those of pycocotools, byte for byte."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from mmdet.structures.mask import encode_mask_results
from mmengine.structures import InstanceData
from pycocotools import mask as mask_util

from mmseghead.functional.mask_rle import (EncodedMasks, decoded, encode_mask,
                                           encode_window, place_rle, to_rles)

SIDES = st.integers(1, 9)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda s: arrays.arrays(bool, s))


def reference(mask):
    return encode_mask_results(mask[None])[0]


@settings(max_examples=150, deadline=None)
@given(MASKS, st.integers(0, 4), st.integers(0, 5), st.integers(0, 3),
       st.integers(0, 2))
def test_window_equals_the_whole(mask, top, left, below, right):
    """Windows that touch none, some or all of the image's sides."""
    rows, columns = mask.shape
    size = (top + rows + below, left + columns + right)
    whole = np.zeros(size, bool)
    whole[top:top + rows, left:left + columns] = mask
    assert encode_window(mask, top, left, size) == reference(whole)
    assert encode_mask(whole) == reference(whole)
    assert encode_mask(torch.from_numpy(whole)) == reference(whole)
    assert place_rle(reference(mask), top, left, size) == reference(whole)


def test_counts_by_hand():
    """A column of 3: pixel (1, 0) and the whole of the second column."""
    mask = np.array([[0, 1], [1, 1], [0, 1]], bool)
    wanted = mask_util.frPyObjects(
        dict(size=[3, 2], counts=[1, 1, 1, 3]), 3, 2)
    assert encode_mask(mask) == wanted


def some_masks(number=5, size=(13, 22)):
    generator = torch.Generator().manual_seed(2)
    return torch.rand(number, *size, generator=generator) > 0.6


def encoded(masks):
    return EncodedMasks([encode_mask(m) for m in masks], masks.shape[1:])


def test_looks_like_a_tensor():
    masks = some_masks()
    codes = encoded(masks)
    assert codes.shape == (5, 13, 22) and len(codes) == 5
    assert np.array_equal(codes.numpy(), masks.numpy())
    assert torch.equal(codes.to_tensor(), masks)
    assert codes.astype(np.uint8).dtype == np.uint8
    assert codes.cpu().to('cpu').detach() is codes
    assert codes[3] == encode_mask(masks[3]) == codes[-2]
    assert to_rles(codes) == to_rles(masks) == encode_mask_results(
        masks.numpy())
    for form in (codes, masks, masks.numpy()):
        assert np.array_equal(np.stack(list(decoded(form))), masks.numpy())


@pytest.mark.parametrize('rows', [
    slice(1, 4), [4, 0, 4], [], torch.tensor([2, 1]),
    torch.tensor([True, False, True, True, False]),
    np.array([False] * 5), slice(0, 0)])
def test_rows(rows):
    masks = some_masks()
    wanted = masks.numpy()[np.asarray(rows, int) if rows == [] else rows] if (
        isinstance(rows, (slice, list))) else masks.numpy()[np.asarray(rows)]
    found = encoded(masks)[rows]
    assert isinstance(found, EncodedMasks)
    assert np.array_equal(found.numpy(), wanted)


def test_instance_data_selects_and_joins():
    masks = some_masks()
    scores = torch.tensor([.3, .9, .1, .7, .5])
    found = InstanceData(scores=scores, masks=encoded(masks))
    for rows in (scores > 0.4, scores > 1, scores.argsort(), slice(1, 3), 2):
        picked = found[rows]
        wanted = masks[rows] if not isinstance(rows, int) else masks[2:3]
        assert torch.equal(picked.masks.to_tensor(), wanted)
    joined = InstanceData.cat([found[:2], found[3:]])
    assert torch.equal(joined.masks.to_tensor(), masks[[0, 1, 3, 4]])
    assert found.cpu().masks is found.masks


@settings(max_examples=60, deadline=None)
@given(MASKS)
def test_boxes_are_tight(mask):
    from mmdet.structures.mask import mask2bbox
    masks = torch.from_numpy(mask)[None]
    assert torch.equal(encoded(masks).boxes(), mask2bbox(masks))


def test_no_masks():
    codes = EncodedMasks([], (4, 7))
    assert codes.shape == (0, 4, 7) and codes.numpy().shape == (0, 4, 7)
    assert codes.boxes().shape == (0, 4)
