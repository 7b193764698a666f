"""Mask labels, centres of mass and padding against slow loops."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmseghead.functional.mask_labels import (balancing_padding, mask_centers,
                                              masks_to_tensor,
                                              soft_mask_labels)


def _masks(number, height, width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(number, height, width, generator=generator) <
            0.4).to(torch.uint8)


def _slow_label(mask, stride, y, x):
    """Mean over the cell; what lies outside the image is not covered."""
    cell = mask[y * stride:(y + 1) * stride, x * stride:(x + 1) * stride]
    return cell.sum().item() / stride**2


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 4), st.integers(1, 37), st.integers(1, 29),
    st.integers(0, 99))
def test_labels_equal_a_loop(number, height, width, seed):
    masks = _masks(number, height, width, seed)
    strides = (2, 4, 12)
    sizes = [(math.ceil(height / s) + 1, math.ceil(width / s))
             for s in strides]
    levels = soft_mask_labels(masks, strides, sizes)
    for stride, size, level in zip(strides, sizes, levels):
        assert level.shape == (number, *size)
        for i in range(number):
            for y in range(size[0]):
                for x in range(size[1]):
                    wanted = _slow_label(masks[i], stride, y, x)
                    assert level[i, y, x].item() == pytest.approx(wanted)


def test_labels_of_many_equal_avg_pool_and_keep_the_area():
    masks = _masks(35, 48, 80)
    for stride, level in zip((4, 8, 16),
                             soft_mask_labels(masks, (4, 8, 16),
                                              [(12, 20), (6, 10), (3, 5)])):
        wanted = F.avg_pool2d(masks[:, None].float(), stride)[:, 0]
        assert torch.allclose(level, wanted, atol=1e-6)
        assert torch.allclose(
            level.sum((1, 2)) * stride**2, masks.sum((1, 2)).float())


def test_full_and_half_cells():
    masks = torch.zeros(1, 8, 8, dtype=torch.uint8)
    masks[0, :, 4:] = 1
    level, = soft_mask_labels(masks, (8, ), [(1, 1)])
    assert level.item() == 0.5
    level, = soft_mask_labels(masks, (4, ), [(2, 2)])
    assert level[0].tolist() == [[0, 1], [0, 1]]


def test_strides_must_be_nested():
    with pytest.raises(ValueError, match=r'`strides` .* got \(8, 12\)'):
        soft_mask_labels(_masks(1, 9, 9), (8, 12), [(2, 2), (1, 1)])


def test_mask_kinds():
    array = _masks(3, 7, 11).numpy()
    wanted = torch.from_numpy(array)
    cpu = torch.device('cpu')
    assert torch.equal(masks_to_tensor(BitmapMasks(array, 7, 11), cpu), wanted)
    assert torch.equal(masks_to_tensor(array.astype(bool), cpu), wanted)
    assert torch.equal(masks_to_tensor(wanted.bool(), cpu), wanted)
    polygon = PolygonMasks([[np.array([0., 0, 4, 0, 4, 4, 0, 4])]], 7, 11)
    assert masks_to_tensor(polygon, cpu).shape == (1, 7, 11)
    assert masks_to_tensor(BitmapMasks([], 7, 11), cpu).shape == (0, 7, 11)
    with pytest.raises(TypeError, match='got a list'):
        masks_to_tensor([[1, 0]], cpu)


def test_centers():
    masks = _masks(4, 13, 17)
    masks[2] = 0
    boxes = torch.tensor([[1., 2., 5., 9.]]).repeat(4, 1)
    centers = mask_centers(masks, boxes)
    for i in (0, 1, 3):
        ys, xs = np.nonzero(masks[i].numpy())
        assert centers[i].tolist() == pytest.approx(
            [xs.mean() + 0.5, ys.mean() + 0.5])
    assert centers[2].tolist() == [3., 5.5]
    assert mask_centers(masks[:0], boxes[:0]).shape == (0, 2)


@pytest.mark.parametrize('foreground, wanted', [(60, 2), (30, 0), (40, 1),
                                                (31, 1), (0, 0)])
def test_padding_of_the_paper(foreground, wanted):
    """w = 10, h = 6: worked values of the equation in section 3.2.2."""
    padding = balancing_padding(
        torch.tensor([float(foreground)]), torch.tensor([10.]),
        torch.tensor([6.]))
    assert padding.tolist() == [wanted]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 70), st.floats(0, 1))
def test_padding_is_the_first_that_balances(width, height, share):
    pixels = float(round(share * width * height))
    padding = balancing_padding(
        torch.tensor([pixels]), torch.tensor([float(width)]),
        torch.tensor([float(height)])).item()

    def object_share(p):
        return pixels / ((width + 2 * p) * (height + 2 * p))

    assert padding >= 0 and padding == int(padding)
    assert object_share(padding) <= 0.5 + 1e-3
    if padding:
        assert object_share(padding - 1) > 0.5 - 1e-3
