"""Targets of mask heads at several sizes, and of whole images."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmseghead.functional.mask_targets import (pooled_mask_targets,
                                               resized_mask_targets,
                                               union_mask_targets)

SIZES = (7, 14, 28)
HEIGHT, WIDTH = 60, 84


def ellipses(count, height=HEIGHT, width=WIDTH, seed=0):
    rng = np.random.RandomState(seed)
    ys, xs = np.mgrid[:height, :width] + 0.5
    masks = []
    for _ in range(count):
        cy, cx = rng.uniform(0.3, 0.7, 2) * (height, width)
        ry, rx = rng.uniform(0.15, 0.35, 2) * (height, width)
        masks.append(((ys - cy) / ry)**2 + ((xs - cx) / rx)**2 < 1)
    masks = np.array(masks, np.uint8).reshape(count, height, width)
    return BitmapMasks(masks, height, width)


BOXES = [
    torch.tensor([[5.5, 3.2, 70.1, 55.9], [-8., -3., 50., 90.],
                  [30., 20., 31., 21.]]),
    torch.zeros(0, 4),
    torch.tensor([[10., 6., 44., 50.]]),
]
INDS = [torch.tensor([1, 0, 1]), torch.zeros(0).long(), torch.tensor([2])]


def bitmaps():
    return [ellipses(2), ellipses(0, 40, 52), ellipses(3, 72, 66, seed=1)]


def test_pooled_targets_are_those_of_each_size():
    kept = [boxes.clone() for boxes in BOXES]
    pooled = pooled_mask_targets(BOXES, INDS, bitmaps(), SIZES)
    resized = resized_mask_targets(BOXES, INDS, bitmaps(), SIZES)
    for size, one, other in zip(SIZES, pooled, resized):
        assert one.shape == other.shape == (4, size, size)
        assert one.dtype == other.dtype == torch.float32
        assert set(one.unique().tolist()) == {0, 1}
        assert (one != other).float().mean() < 0.03
    assert torch.equal(pooled[-1], resized[-1])
    # mmdet cuts boxes off in place; neither mode does.
    assert all(map(torch.equal, kept, BOXES))


def test_targets_are_what_the_box_covers():
    """A cell holds one half or more of its own part of the object."""
    masks = bitmaps()
    fine, = pooled_mask_targets(BOXES, INDS, masks, (28, ))
    row = 0
    for boxes, inds, image in zip(BOXES, INDS, masks):
        for box, ind in zip(boxes.tolist(), inds.tolist()):
            x1, y1 = max(box[0], 0), max(box[1], 0)
            x2, y2 = min(box[2], image.width), min(box[3], image.height)
            for y, x in ((3, 20), (14, 14), (27, 0), (8, 9), (20, 25)):
                v = int(y1 + (y2 - y1) * (y + 0.5) / 28)
                u = int(x1 + (x2 - x1) * (x + 0.5) / 28)
                around = image.masks[ind, max(v - 2, 0):v + 3,
                                     max(u - 2, 0):u + 3]
                if around.min() == around.max():  # away from the edge
                    assert fine[row, y, x] == around.max()
            row += 1


def test_coarse_targets_follow_from_the_finest():
    sizes = (14, 7, 28)
    targets = pooled_mask_targets(BOXES, INDS, bitmaps(), sizes)
    for size, target in zip(sizes, targets):
        share = F.avg_pool2d(targets[2][:, None], 28 // size)[:, 0]
        clear = (share - 0.5).abs() > 0.3
        assert torch.equal((share > 0.5)[clear], target[clear].bool())


SQUARE = [np.array([20., 10., 60., 10., 60., 40., 20., 40.])]
TRIANGLE = [np.array([5., 5., 75., 5., 5., 55.])]


@pytest.mark.parametrize('make', [pooled_mask_targets, resized_mask_targets])
def test_polygons(make):
    masks = [PolygonMasks([TRIANGLE, SQUARE], HEIGHT, WIDTH)]
    boxes = [torch.tensor([[20., 10., 60., 40.], [0., 0., 80., 40.]])]
    targets = make(boxes, [torch.tensor([1, 1])], masks, SIZES)
    assert [t.shape for t in targets] == [(2, s, s) for s in SIZES]
    for target in targets:
        assert target[0, :-1, :-1].all()
    fine = targets[-1][1]  # the square fills x from 1/4 to 3/4, y from 1/4
    assert fine[8:27, 8:20].all() and not fine[:6].any()
    assert not fine[:, :6].any() and not fine[:, 23:].any()
    triangle, = make(boxes[:1], [torch.tensor([0, 0])], masks, (28, ))
    assert triangle[1, 3, 3] == 1 and triangle[1, 26, 27] == 0


@pytest.mark.parametrize('make', [pooled_mask_targets, resized_mask_targets])
def test_no_boxes(make):
    none = [torch.zeros(0, 4)] * 2
    inds = [torch.zeros(0).long()] * 2
    targets = make(none, inds, [ellipses(2), ellipses(0)], SIZES)
    assert [t.shape for t in targets] == [(0, s, s) for s in SIZES]


def test_sizes_divide():
    with pytest.raises(ValueError, match=r'must divide.*\(14, 30\)'):
        pooled_mask_targets(BOXES, INDS, bitmaps(), (14, 30))


def test_union_of_images_of_unlike_size():
    """Two images, padded to 64 x 96 pixels, at a stride of 4."""
    one, two = np.zeros((2, 48, 96), np.uint8), np.zeros((1, 64, 56), np.uint8)
    one[0, 8:16, 12:40] = 1
    one[1, 12:32, 60:96] = 1
    two[0, 40:64, 16:56] = 1
    masks = [BitmapMasks(one, 48, 96), BitmapMasks(two, 64, 56)]
    got = union_mask_targets(masks, (16, 24), 4, torch.device('cpu'))
    want = torch.zeros(2, 1, 16, 24)
    want[0, 0, 2:4, 3:10] = 1
    want[0, 0, 3:8, 15:24] = 1
    want[1, 0, 10:16, 4:14] = 1
    assert torch.equal(got, want)
    assert not got[0, 0, 12:].any() and not got[1, 0, :, 14:].any()


def test_union_is_the_source_s():
    """Zero-padded to the largest image, resized, cut at one half."""
    masks = [ellipses(3, 64, 88, seed=2), ellipses(0, 40, 96),
             ellipses(1, 56, 48, seed=3)]
    full = torch.zeros(3, 1, 64, 96)
    for union, image in zip(full, masks):
        for mask in image.masks:
            union[0, :image.height, :image.width] += torch.from_numpy(mask)
    want = F.interpolate(
        full.clamp(max=1), (16, 24), mode='bilinear', align_corners=False)
    got = union_mask_targets(masks, (16, 24), 4, torch.device('cpu'))
    assert torch.equal(got, (want >= 0.5).float())
    assert got[0].any() and not got[1].any() and got[2].any()


def test_union_of_polygons_and_of_padded_masks():
    polygons = PolygonMasks([TRIANGLE, SQUARE], HEIGHT, WIDTH)
    bitmap = BitmapMasks(polygons.to_ndarray().astype(np.uint8), HEIGHT, WIDTH)
    padded = bitmap.pad((64, 96))
    maps = [
        union_mask_targets([masks], (16, 24), 4, torch.device('cpu'))
        for masks in (polygons, bitmap, padded)
    ]
    assert maps[0].any() and torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])
