"""Training crops that are sure to show an object."""
from typing import Optional, Tuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.structures.bbox import autocast_box_type

from mmseghead.registry import TRANSFORMS


@TRANSFORMS.register_module()
class CropAroundObject(BaseTransform):
    """Crop a window of fixed size around a random instance.

    The window is centred on the instance's mean pixel and then moved into
    the image. An image without instances, or a share of the others, is
    cropped anywhere. A side of the image that is shorter than the window is
    kept whole. Instances of which no pixel remains are dropped.

    Source: the first stage of arXiv:1906.11109, section 4, with a window of
    500 x 500 pixels. Differs: the instance is drawn with the image, so that
    images count alike however many instances they show. Jitter is not in the
    paper.

    Args:
        crop_size: Width and height of the window in pixels.
        jitter: Largest shift of the window, as a share of its sides, drawn
            uniformly in both directions.
        prob: Share of images that are cropped around an instance.

    Raises:
        ValueError: if a side is smaller than 1, ``jitter`` negative or
            ``prob`` not in [0, 1].
    """

    def __init__(self,
                 crop_size: Tuple[int, int],
                 jitter: float = 0.,
                 prob: float = 1.) -> None:
        if len(crop_size) != 2 or min(crop_size) < 1:
            raise ValueError('`crop_size` of CropAroundObject must be two '
                             f'ints >= 1 (w, h), got {crop_size!r}.')
        if jitter < 0:
            raise ValueError('`jitter` of CropAroundObject must be >= 0, got '
                             f'{jitter!r}.')
        if not 0 <= prob <= 1:
            raise ValueError('`prob` of CropAroundObject must be in [0, 1], '
                             f'got {prob!r}.')
        self.crop_size = tuple(crop_size)
        self.jitter = jitter
        self.prob = prob

    @cache_randomness
    def _draw(self) -> Tuple[float, float, np.ndarray]:
        """Return whether to look for an instance, which, and the shift."""
        return np.random.rand(), np.random.rand(), np.random.rand(2)

    @autocast_box_type()
    def transform(self, results: dict) -> Optional[dict]:
        """Crop image, boxes and masks.

        Args:
            results: ``img``; ``gt_masks`` if there are annotations, with
                ``gt_bboxes``, ``gt_bboxes_labels`` and ``gt_ignore_flags``.

        Returns:
            The same, cropped, with a new ``img_shape``.
        """
        height, width = results['img'].shape[:2]
        size = np.minimum(self.crop_size, (width, height))  # w, h
        around, which, shift = self._draw()
        center = self._instance_center(results, which)
        margin = (width, height) - size
        if center is None or around >= self.prob:
            start = np.floor(shift * (margin + 1))
        else:
            shift = (2 * shift - 1) * self.jitter * size
            start = np.clip(np.floor(center + shift - size / 2), 0, margin)
        x1, y1 = (int(value) for value in start)
        x2, y2 = (int(value) for value in start + size)
        results['img'] = results['img'][y1:y2, x1:x2]
        results['img_shape'] = results['img'].shape[:2]
        return self._crop_instances(results, (x1, y1, x2, y2))

    @staticmethod
    def _instance_center(results: dict, which: float) -> Optional[np.ndarray]:
        """Return the mean pixel (x, y) of an instance that is not ignored."""
        masks = results.get('gt_masks')
        if masks is None or len(masks) == 0:
            return None
        known = np.flatnonzero(~np.asarray(results['gt_ignore_flags'], bool))
        if len(known) == 0:
            return None
        index = known[int(which * len(known))]
        rows, columns = np.nonzero(masks[[index]].to_ndarray()[0])
        if len(rows) == 0:
            return None
        return np.array([columns.mean() + 0.5, rows.mean() + 0.5])

    @staticmethod
    def _crop_instances(results: dict, window: Tuple[int, int, int,
                                                     int]) -> dict:
        if results.get('gt_masks') is None:
            return results
        masks = results['gt_masks'].crop(np.asarray(window))
        seen = masks.areas > 0
        results['gt_masks'] = masks[np.flatnonzero(seen)]
        if results.get('gt_bboxes') is not None:
            # Tight boxes of what remains, not the old ones' rests.
            box_type = type(results['gt_bboxes'])
            results['gt_bboxes'] = results['gt_masks'].get_bboxes(box_type)
        for key in ('gt_bboxes_labels', 'gt_ignore_flags'):
            if key in results:
                results[key] = results[key][seen]
        return results

    def __repr__(self) -> str:
        return (f'{type(self).__name__}(crop_size={self.crop_size}, '
                f'jitter={self.jitter}, prob={self.prob})')
