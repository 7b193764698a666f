"""Overlaps of detections with ground truth."""
import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api

from mmseghead.evaluation.functional.instances import (Found, Truth,
                                                       boundary_overlaps,
                                                       overlaps, strongest)
from mmseghead.testing.coco_scene import random_mask


def found_of(masks, labels=None, scores=None):
    count = len(masks)
    rles = [mask_api.encode(np.asfortranarray(m, np.uint8)) for m in masks]
    boxes = np.array([mask_api.toBbox(r) for r in rles]).reshape(-1, 4)
    return Found(
        np.zeros(count, int) if labels is None else np.array(labels), rles,
        boxes, np.array([m.sum() for m in masks], float),
        np.linspace(1, 0.5, count) if scores is None else np.array(scores))


def truth_of(masks, crowd):
    item = found_of(masks)
    crowd = np.array(crowd, bool)
    return Truth(*item[:4], crowd, crowd)


def inner_band(mask, width):
    padded = np.pad(mask, 1).astype(np.uint8)
    core = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)
    return mask & ~core[1:-1, 1:-1].astype(bool)


def test_overlaps_equal_pixel_counts():
    rng = np.random.default_rng(2)
    found = [random_mask(rng) for _ in range(4)]
    truth = [np.roll(mask, (2, -3), (0, 1)) for mask in found[:3]]
    truth.append(found[0])
    crowd = [False, True, False, False]
    both = found_of(found), truth_of(truth, crowd)
    masks = overlaps(*both)
    edges = boundary_overlaps(*both, masks, 0.05)
    width = round(0.05 * np.hypot(*found[0].shape))
    for d, one in enumerate(found):
        for g, other in enumerate(truth):
            below = one.sum() if crowd[g] else (one | other).sum()
            iou = (one & other).sum() / below
            assert masks[d, g] == pytest.approx(iou)
            if not crowd[g]:
                a, b = inner_band(one, width), inner_band(other, width)
                iou = min(iou, (a & b).sum() / (a | b).sum())
            assert edges[d, g] == pytest.approx(iou)
    assert masks[0, 3] == 1 and edges[0, 3] == 1


def test_a_common_outline_does_not_hide_a_hole():
    solid = np.zeros((37, 52), bool)
    solid[5:30, 8:40] = True
    ring = inner_band(solid, 3)
    both = found_of([ring]), truth_of([solid], [False])
    ious = overlaps(*both)
    # The bands are equal, the masks are not: the smaller one counts.
    assert boundary_overlaps(*both, ious, 0.05) == ious < 1


def test_boxes_overlap_by_their_own():
    rng = np.random.default_rng(2)
    found = found_of([random_mask(rng)])
    found = found._replace(boxes=np.array([[10.0, 10, 8, 6]]))
    truth = truth_of([random_mask(rng)], [False])
    truth = truth._replace(boxes=np.array([[14.0, 10, 8, 3]]))
    assert overlaps(found, truth, 'bbox')[0, 0] == pytest.approx(12 / 60)


def test_bands_are_spared_where_they_cannot_matter():
    rng = np.random.default_rng(4)
    masks = [random_mask(rng) for _ in range(4)]
    found = found_of([np.roll(mask, 1, 0) for mask in masks], [0, 1, 0, 1])
    truth = truth_of(masks, [False, False, True, False])
    truth = truth._replace(labels=np.array([0, 0, 0, 1]))
    ious = overlaps(found, truth)
    whole = boundary_overlaps(found, truth, ious)
    part = boundary_overlaps(found, truth, ious, least=0.5)
    exact = (ious >= 0.5) & (found.labels[:, None] == truth.labels)
    assert exact.any() and not exact.all()
    assert (part[exact] == whole[exact]).all()
    assert (whole[exact] < ious[exact]).any()
    assert (part[~exact] == ious[~exact]).all()


@pytest.mark.parametrize('kind', ['segm', 'bbox'])
def test_nothing_on_either_side(kind):
    rng = np.random.default_rng(2)
    masks = [random_mask(rng) for _ in range(3)]
    for found, truth in ((found_of([]), truth_of(masks, [False] * 3)),
                         (found_of(masks), truth_of([], []))):
        shape = len(found.labels), len(truth.labels)
        ious = overlaps(found, truth, kind)
        assert ious.shape == shape
        assert boundary_overlaps(found, truth, ious).shape == shape


def test_strongest_limits_each_class():
    rng = np.random.default_rng(2)
    found = found_of([random_mask(rng) for _ in range(5)], [1, 0, 1, 1, 0])
    kept = strongest(found, 2)
    assert kept.labels.tolist() == [1, 0, 1, 0]
    assert kept.scores.tolist() == found.scores[[0, 1, 2, 4]].tolist()
    assert kept.masks[3] is found.masks[4]
    assert len(strongest(found_of([]), 2).labels) == 0
