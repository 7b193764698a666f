"""Index arithmetic and patches of a feature pyramid."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.prior_generators import AnchorGenerator

from mmseghead.functional.pyramid_points import (PyramidPoints, gather_patches,
                                                 ravel_places, unravel_places)

SIZES = [(7, 11), (4, 6), (2, 3)]
pyramids = st.lists(
    st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=4)


@settings(deadline=None, max_examples=50)
@given(pyramids, st.integers(1, 9))
def test_places_follow_the_order_of_a_loop(sizes, num_anchors):
    places = [(level, y, x, a) for level, (h, w) in enumerate(sizes)
              for y in range(h) for x in range(w) for a in range(num_anchors)]
    flat = torch.arange(len(places))
    found = unravel_places(flat, sizes, num_anchors)
    assert torch.stack(found, 1).tolist() == [list(p) for p in places]
    assert torch.equal(ravel_places(*found, sizes, num_anchors), flat)


def test_order_is_that_of_mmdets_anchors():
    strides = [4, 8, 16]
    generator = AnchorGenerator(
        strides=strides, ratios=[0.5, 1.0], scales=[2, 3, 5])
    anchors = torch.cat(generator.grid_priors(SIZES, device='cpu'))
    flat = torch.randperm(len(anchors))
    levels, ys, xs, inner = unravel_places(flat, SIZES, 6)
    stride = torch.tensor(strides)[levels]
    centers = (anchors[flat, :2] + anchors[flat, 2:]) / 2
    assert torch.equal(centers[:, 0], (xs * stride).float())
    assert torch.equal(centers[:, 1], (ys * stride).float())
    base = torch.stack(generator.base_anchors)[levels, inner]
    torch.testing.assert_close(anchors[flat] - centers.repeat(1, 2), base)


@pytest.mark.parametrize('num_anchors', [1, 9])
def test_no_places(num_anchors):
    found = unravel_places(
        torch.zeros(0, dtype=torch.long), SIZES, num_anchors)
    assert all(field.shape == (0, ) for field in found)


def every_point(feats):
    images = feats[0].shape[0]
    rows = [(i, level, y, x, 0) for level, feat in enumerate(feats)
            for i in range(images) for y in range(feat.shape[2])
            for x in range(feat.shape[3])]
    return PyramidPoints(*torch.tensor(rows).unbind(1))


def test_patches_are_those_of_a_padded_map():
    torch.manual_seed(0)
    feats = [torch.randn(2, 5, h, w) for h, w in SIZES]
    points = every_point(feats)
    order = torch.randperm(len(points.images))
    points = PyramidPoints(*(field[order] for field in points))
    patches = gather_patches(feats, points)
    assert patches.shape == (len(order), 5, 9)
    for i in range(len(order)):
        feat = F.pad(feats[points.levels[i]][points.images[i]], (1, 1, 1, 1))
        y, x = points.ys[i], points.xs[i]
        assert torch.equal(patches[i], feat[:, y:y + 3, x:x + 3].flatten(1))


def test_what_lies_beyond_the_border_is_zero_even_beside_infinity():
    feat = torch.full((1, 2, 3, 4), float('inf'))
    corner = PyramidPoints(*torch.zeros(5, 1, dtype=torch.long))
    patch = gather_patches([feat], corner)
    inside = torch.tensor([4, 5, 7, 8])
    assert patch[0, :, inside].isinf().all()
    patch[..., inside] = 0
    assert torch.equal(patch, torch.zeros(1, 2, 9))


def test_no_points_are_connected():
    feats = [torch.randn(1, 5, h, w, requires_grad=True) for h, w in SIZES]
    none = PyramidPoints(*torch.zeros(5, 0, dtype=torch.long))
    patches = gather_patches(feats, none)
    assert patches.shape == (0, 5, 9)
    patches.sum().backward()
    assert all(torch.equal(f.grad, torch.zeros_like(f)) for f in feats)


def test_gradient_goes_where_the_patch_was():
    feat = torch.randn(1, 1, 4, 6, requires_grad=True)
    points = PyramidPoints(*torch.tensor([[0, 0, 2, 3, 0], [0, 0, 2, 4, 0]]).T)
    gather_patches([feat], points).sum().backward()
    wanted = torch.zeros(4, 6)
    wanted[1:4, 2:5] += 1
    wanted[1:4, 3:6] += 1
    assert torch.equal(feat.grad[0, 0], wanted)
