"""Contours in the data pipeline."""
import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmseghead.functional.contours import mass_center, trace_contour
from mmseghead.registry import TRANSFORMS


def sample(ignored=()):
    """Sides and areas in pixels: 20 x 5, 9 x 9, 3 x 5, 1 x 15, none."""
    masks = np.zeros((5, 40, 55), np.uint8)
    boxes = [[3, 2, 23, 7], [30, 5, 39, 14], [2, 10, 5, 15], [45, 2, 46, 17],
             [10, 20, 40, 30]]
    for mask, (x1, y1, x2, y2) in zip(masks[:4], boxes):
        mask[y1:y2, x1:x2] = 1
    flags = np.zeros(5, bool)
    flags[list(ignored)] = True
    return dict(
        img=np.zeros((40, 55, 3), np.uint8),
        gt_bboxes=HorizontalBoxes(torch.tensor(boxes).float()),
        gt_bboxes_labels=np.arange(5),
        gt_masks=BitmapMasks(masks, 40, 55),
        gt_ignore_flags=flags,
        img_shape=(40, 55))


def build(name, **options):
    return TRANSFORMS.build(
        dict(type=f'mmseghead.{name}', **options))


def test_small_instances_are_removed():
    results = build('FilterSmallInstances')(sample())
    # The second is less than 10 wide and high, the others have 15 pixels.
    assert results['gt_bboxes_labels'].tolist() == [0]
    for key in ('gt_bboxes', 'gt_masks', 'gt_ignore_flags'):
        assert len(results[key]) == 1
    results = build('FilterSmallInstances', min_area=14, min_side=5)(sample())
    assert results['gt_bboxes_labels'].tolist() == [0, 1, 2, 3]


def test_an_image_without_instances_is_replaced_or_kept():
    assert build('FilterSmallInstances', min_area=10**4)(sample()) is None
    kept = build('FilterSmallInstances', min_area=10**4, keep_empty=True)
    assert len(kept(sample())['gt_masks']) == 0


def test_contours_are_those_of_the_masks():
    results = build('GeneratePolarContours', drop_masks=False)(sample())
    lengths = results['gt_contour_lengths']
    assert lengths.tolist()[-1] == 0 and (lengths[:4] > 0).all()
    for k in range(4):
        contour = trace_contour(results['gt_masks'].masks[k])
        given = results['gt_contours'][k, :lengths[k]]
        assert np.array_equal(given, contour)
        assert tuple(results['gt_mass_centers'][k]) == mass_center(contour)


def test_packed_without_the_ignored_ones():
    results = build('GeneratePolarContours')(sample(ignored=[1]))
    packed = build('PackPolarInputs')(results)['data_samples']
    instances = packed.gt_instances
    assert instances.labels.tolist() == [0, 2, 3, 4]
    assert instances.contours.shape[0] == len(instances.contour_lengths) == 4
    assert instances.contours.dtype == torch.int16
    assert instances.mass_centers[1].tolist() == [3, 12]
    assert 'masks' not in instances
    assert packed.ignored_instances.contours.shape[0] == 1


def test_mass_centers_of_the_reference():
    mask = np.zeros((1, 40, 50), np.uint8)
    mask[0, 10:17, 10:21] = 1
    for legacy, y in ((False, 13), (True, 12)):
        results = dict(gt_masks=BitmapMasks(mask, 40, 50))
        step = build('GeneratePolarContours', legacy_v1=legacy)
        assert step(results)['gt_mass_centers'].tolist() == [[15, y]]
        assert f'legacy_v1={legacy}' in repr(step)


def test_bounds_are_checked():
    with pytest.raises(ValueError, match='FilterSmallInstances'):
        build('FilterSmallInstances', min_area=-1)
    assert 'min_side=7' in repr(build('FilterSmallInstances', min_side=7))
