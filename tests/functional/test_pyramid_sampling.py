"""Samples of a pyramid against `grid_sample`, levels against mmdet."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor

from mmseghead.functional.pyramid_sampling import (corner_rows,
                                                   flatten_pyramid, map_levels,
                                                   sample_pyramid)

STRIDES = (4, 8, 16)


def make_pyramid(images=3, channels=5, dtype=torch.double):
    torch.manual_seed(0)
    # 52 x 68 pixels, not a multiple of 16.
    return [
        torch.randn(images, channels, *size).to(dtype)
        for size in ((13, 17), (7, 9), (4, 5))
    ]


def loop(feats, points, levels, batch_inds):
    """Sample each point on its own."""
    rows = [feats[0].new_zeros(0, feats[0].shape[1])]
    for point, level, image in zip(points, levels, batch_inds):
        maps = feats[level][image][None]
        size = maps.new_tensor(maps.shape[:1:-1]) * STRIDES[level]
        at = (2 * point / size - 1).view(1, 1, 1, 2)
        sample = F.grid_sample(
            maps, at, padding_mode='zeros', align_corners=False)
        rows.append(sample.view(1, -1))
    return torch.cat(rows)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 40), st.integers(0, 999))
def test_equals_grid_sample(count, seed):
    feats = make_pyramid()
    source = torch.Generator().manual_seed(seed)
    points = torch.rand(count, 2, generator=source).double() * 90 - 10
    points[::3] = points[::3].round()
    levels = torch.randint(0, 3, (count, ), generator=source)
    images = torch.randint(0, 3, (count, ), generator=source)
    table = flatten_pyramid(feats, STRIDES)
    out = sample_pyramid(table, points, levels, images)
    expected = loop(feats, points, levels, images)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def test_cell_centres_read_cells():
    feats = make_pyramid()
    table = flatten_pyramid(feats, STRIDES)
    point = torch.tensor([[8 * 6 + 4., 8 * 2 + 4]])  # x = 6, y = 2
    out = sample_pyramid(table, point, torch.tensor([1]), torch.tensor([2]))
    assert torch.equal(out[0], feats[1][2, :, 2, 6])


def test_gradient_equals_that_of_grid_sample():
    points = torch.rand(30, 2).double() * 80 - 6
    levels, images = torch.arange(30) % 3, torch.arange(30) % 2
    grads = []
    for function in (lambda maps, *args: sample_pyramid(
            flatten_pyramid(maps, STRIDES), *args), loop):
        feats = [level.requires_grad_() for level in make_pyramid()]
        out = function(feats, points, levels, images)
        (out * torch.arange(150.).view(30, 5).cos()).sum().backward()
        grads.append([level.grad for level in feats])
    for ours, expected in zip(*grads):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
def test_half_precision_maps_are_sampled_at_exact_places(dtype):
    feats = [level.requires_grad_() for level in make_pyramid(dtype=dtype)]
    points = torch.rand(20, 2) * 60
    args = points, torch.arange(20) % 3, torch.arange(20) % 3
    table = flatten_pyramid(feats, STRIDES)
    _, weights = corner_rows(table, *args)
    assert weights.dtype == torch.float32
    out = sample_pyramid(table, *args)
    assert out.dtype == dtype
    expected = loop([level.detach().double() for level in feats],
                    points.double(), *args[1:])
    torch.testing.assert_close(out.double(), expected, rtol=.02, atol=.02)
    out.sum().backward()
    assert feats[0].grad.abs().sum() > 0


def test_no_points():
    feats = [level.requires_grad_() for level in make_pyramid()]
    none = torch.zeros(0, dtype=torch.int64)
    table = flatten_pyramid(feats, STRIDES)
    out = sample_pyramid(table, torch.zeros(0, 2), none, none)
    assert out.shape == (0, 5)
    out.sum().backward()
    assert all((level.grad == 0).all() for level in feats)


def test_far_and_huge_points_are_zero():
    table = flatten_pyramid(make_pyramid(), STRIDES)
    points = torch.tensor([[-1e6, 5], [5, 1e7], [1e30, 1e30], [-3., 20]])
    out = sample_pyramid(table, points, torch.zeros(4).long(),
                         torch.zeros(4).long())
    assert (out == 0).all()


def test_needs_a_stride_per_map():
    with pytest.raises(ValueError, match='got 2 for 3 maps'):
        flatten_pyramid(make_pyramid(), (4, 8))


def test_levels_equal_mmdets():
    layer = dict(type='RoIAlign', output_size=7, sampling_ratio=0)
    extractor = SingleRoIExtractor(layer, 5, [4, 8, 16, 32])
    torch.manual_seed(0)
    corner = torch.rand(500, 2) * 900
    boxes = torch.cat([corner, corner + 2000 * torch.rand(500, 2)**4], 1)
    rois = torch.cat([torch.zeros(500, 1), boxes], 1)
    levels = map_levels(boxes, 4)
    assert torch.equal(levels, extractor.map_roi_levels(rois, 4))
    assert levels.unique().tolist() == [0, 1, 2, 3]


def test_levels_of_half_precision_and_degenerate_boxes():
    boxes = torch.tensor([[0., 0, 257, 257], [3, 4, 3, 4], [9, 9, 5, 7],
                          [0, 0, 112, 112], [0, 0, 4000, 4000]])
    assert map_levels(boxes, 4).tolist() == [2, 0, 0, 1, 3]
    assert map_levels(boxes.half(), 4).tolist() == [2, 0, 0, 1, 3]
    assert map_levels(boxes, 2).tolist() == [1, 0, 0, 1, 1]
    assert map_levels(boxes[:0], 4).shape == (0, )
    # A box that rounding left just below the border, as mmdet.
    below = torch.tensor([[0, 0, 111.99998, 111.99998]])
    assert below[0, 2] < 112 and map_levels(below, 4).tolist() == [1]
