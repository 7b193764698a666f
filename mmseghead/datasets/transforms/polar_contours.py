"""Contours of instances, traced while data is loaded."""
from typing import Optional

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.datasets.transforms import PackDetInputs

from mmseghead.functional.contours import pad_contours, trace_contour
from mmseghead.registry import TRANSFORMS


@TRANSFORMS.register_module()
class FilterSmallInstances(BaseTransform):
    """Remove small instances, which then count as background.

    It belongs right behind ``LoadAnnotations``: sizes are meant in the
    original image's pixels. An instance is removed if its mask has no more
    than ``min_area`` pixels, or if its box is less than ``min_side`` both
    wide and high.

    Source: xieenze/PolarMask, `coco_seg.py`. Differs: the area is that of
    the mask, not the annotation's field.

    Args:
        min_area: Pixels.
        min_side: Pixels.
        keep_empty: Whether an image without remaining instances is kept, or
            another one is drawn in its place.

    Raises:
        ValueError: if a bound is negative.
    """

    def __init__(self,
                 min_area: float = 15,
                 min_side: float = 10,
                 keep_empty: bool = False) -> None:
        if min_area < 0 or min_side < 0:
            raise ValueError(
                '`min_area` and `min_side` of FilterSmallInstances must be '
                f'>= 0, got {min_area} and {min_side}.')
        self.min_area = min_area
        self.min_side = min_side
        self.keep_empty = keep_empty

    def transform(self, results: dict) -> Optional[dict]:
        """Remove the instances from all of ``gt_*``.

        Args:
            results: With ``gt_bboxes`` and ``gt_masks``.

        Returns:
            The same, or None for an image to be replaced.
        """
        boxes = results['gt_bboxes']
        corners = np.asarray(getattr(boxes, 'tensor', boxes))
        sides = corners[:, 2:] - corners[:, :2]
        kept = (sides >= self.min_side).any(1)
        kept &= np.asarray(results['gt_masks'].areas) > self.min_area
        rows = np.flatnonzero(kept)
        if len(rows) == 0 and not self.keep_empty:
            return None
        for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_masks',
                    'gt_ignore_flags'):
            if key in results:
                results[key] = results[key][rows]
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(min_area={self.min_area}, '
                f'min_side={self.min_side}, keep_empty={self.keep_empty})')


@TRANSFORMS.register_module()
class GeneratePolarContours(BaseTransform):
    """Trace the contours that ``PolarMaskHead`` learns.

    It belongs behind everything that moves pixels, right before
    ``PackPolarInputs``. It adds, for K instances, ``gt_contours`` (K, L, 2)
    int16, L being the length of the longest, ``gt_contour_lengths`` (K,)
    int64, 0 for an instance without pixels, and ``gt_mass_centers`` (K, 2)
    int64.

    Args:
        drop_masks: Whether the masks, which the head then does not need,
            are left behind; less to copy to the model.
        legacy_v1: Mass centres with the rounding errors of the reference.
    """

    def __init__(self,
                 drop_masks: bool = True,
                 legacy_v1: bool = False) -> None:
        self.drop_masks = drop_masks
        self.legacy_v1 = legacy_v1

    def transform(self, results: dict) -> dict:
        """Add contours, see the class.

        Args:
            results: With ``gt_masks``.
        """
        masks = results['gt_masks'].to_ndarray()
        contours, lengths, centers = pad_contours(
            map(trace_contour, masks), self.legacy_v1)
        results['gt_contours'] = contours
        results['gt_contour_lengths'] = lengths
        results['gt_mass_centers'] = centers
        if self.drop_masks:
            del results['gt_masks']
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(drop_masks={self.drop_masks}, '
                f'legacy_v1={self.legacy_v1})')


@TRANSFORMS.register_module()
class PackPolarInputs(PackDetInputs):
    """Pack images and annotations, contours of instances included.

    As ``mmdet.PackDetInputs``; ``gt_instances`` get ``contours``,
    ``contour_lengths`` and ``mass_centers`` besides.
    """

    mapping_table = dict(
        PackDetInputs.mapping_table,
        gt_contours='contours',
        gt_contour_lengths='contour_lengths',
        gt_mass_centers='mass_centers')
