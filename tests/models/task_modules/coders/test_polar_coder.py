"""The coder of rays: options, boxes, empty input."""
import cv2
import numpy as np
import pytest
import torch

from mmseghead.functional import polar
from mmseghead.functional.contours import trace_contour
from mmseghead.models.task_modules import PolarCoder
from mmseghead.registry import TASK_UTILS


def contour(radius=30):
    mask = np.zeros((90, 110), np.uint8)
    cv2.ellipse(mask, (50, 40), (radius, radius - 9), 0, 0, 360, 1, -1)
    return torch.from_numpy(trace_contour(mask))


def test_list_and_joined_contours_encode_alike():
    coder = TASK_UTILS.build(dict(type='mmseghead.PolarCoder', num_rays=24))
    lines = [contour(30), contour(22)]
    points, owners = torch.tensor([[50, 40], [52, 39], [48, 41]]), [1, 0, 1]
    owners = torch.tensor(owners)
    given = coder.encode(points, lines, owners)
    assert given.shape == (3, 24) and given.dtype == torch.float32
    assert torch.equal(
        given, coder.encode(points, polar.join_contours(lines), owners))
    assert torch.equal(
        given, polar.bucket_rays(points, polar.join_contours(lines), owners,
                                 24))


def test_exact_rays_are_switched_on():
    points, owner = torch.tensor([[50, 40]]), torch.tensor([0])
    plain, exact = (PolarCoder(36, exact_rays=flag) for flag in (False, True))
    assert torch.equal(
        exact.encode(points, [contour(12)], owner),
        polar.exact_rays(points, polar.join_contours([contour(12)]), owner,
                         36))
    assert (plain.encode(points, [contour(12)], owner) < 1e-3).any()


def test_clamping_is_left_to_the_caller():
    points, lines = torch.tensor([[7, 9]]), [torch.tensor([[7, 9]])]
    coder = PolarCoder()
    owner = torch.tensor([0])
    assert coder.encode(points, lines, owner)[0, 0] == pytest.approx(1e-6)
    assert coder.encode(points, lines, owner, clamp=False)[0, 0] == 0


def test_decoding_and_boxes():
    coder = PolarCoder(4)
    points, rays = torch.tensor([[15, 13]]), torch.tensor([[3., 5, 3, 50]])
    ends = coder.decode(points, rays, (15, 19))
    assert ends.shape == (1, 2, 4)
    assert torch.equal(ends, polar.rays_to_points(points, rays, (15, 19)))
    assert coder.rays_to_bbox(points, rays)[0].tolist() == pytest.approx(
        [-35, 10, 20, 16], abs=1e-4)
    assert coder.rays_to_bbox(points, rays, (15, 19))[0].tolist() == (
        pytest.approx([0, 10, 18, 14], abs=1e-4))


@pytest.mark.parametrize('exact', [False, True])
def test_nothing(exact):
    coder = PolarCoder(18, exact_rays=exact)
    none = torch.zeros(0, 2)
    rays = coder.encode(none, [], torch.zeros(0, dtype=torch.long))
    assert rays.shape == (0, 18)
    assert coder.decode(none, rays, (5, 6)).shape == (0, 2, 18)
    assert polar.polar_centerness(rays).shape == (0, )


def test_options():
    for bad in (7, 2, 36.0):
        with pytest.raises(ValueError, match='`num_rays` of PolarCoder'):
            PolarCoder(bad)
    with pytest.raises(ValueError, match='`window` of PolarCoder'):
        PolarCoder(window=-1)
