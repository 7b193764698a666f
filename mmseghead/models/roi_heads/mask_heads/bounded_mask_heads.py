"""mmdet's RoI mask heads, within the memory budget of masks."""
from typing import Iterator

import numpy as np
from mmdet.models.roi_heads.mask_heads import CoarseMaskHead as _CoarseMaskHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead as _FCNMaskHead
from mmengine.config import ConfigDict
from torch import Tensor

from mmseghead.functional.box_masks import paste_windows
from mmseghead.functional.mask_parts import (MaskPart, Masks, collect_masks,
                                             masks_fit, masks_per_pass)
from mmseghead.registry import MODELS

# What mmdet holds for a pixel that it pastes: two coordinates, one value,
# each four bytes, and some bools.
_BYTES_PER_PIXEL = 16


class _BoundedPasting:
    """Let mmdet paste no more masks at once than the budget allows."""

    def _predict_by_feat_single(self,
                                mask_preds: Tensor,
                                bboxes: Tensor,
                                labels: Tensor,
                                img_meta: dict,
                                rcnn_test_cfg: ConfigDict,
                                rescale: bool = False,
                                activate_map: bool = False) -> Masks:
        """Paste the masks of one image.

        Args:
            mask_preds: (n, K or 1, S, S) logits.
            bboxes: (n, 4) in pixels of the network's input; divided by the
                scale in place if ``rescale``, as mmdet does.
            labels: (n,) int64.
            img_meta: ``ori_shape`` and ``scale_factor``.
            rcnn_test_cfg: ``mask_thr_binary``.
            rescale: Paste into the original image.
            activate_map: Whether ``mask_preds`` are probabilities.

        Returns:
            (n, H, W) bool, see ``collect_masks``; uint8 and without bounds
            with a negative threshold, which is for debugging.
        """
        paste = super()._predict_by_feat_single
        common = (img_meta, rcnn_test_cfg, rescale, activate_map)
        if rcnn_test_cfg.mask_thr_binary < 0:
            return paste(mask_preds, bboxes, labels, *common)
        size = img_meta['ori_shape'][:2]
        if not rescale:
            factors = bboxes.new_tensor(img_meta['scale_factor']).tolist()
            size = [int(np.round(a * b)) for a, b in zip(size, factors[::-1])]
        # On a CPU mmdet pastes them one by one into their masks.
        on_cpu = bboxes.device.type == 'cpu'
        work = _BYTES_PER_PIXEL * size[0] * size[1]
        step = masks_per_pass(size[0] * size[1], work) if on_cpu else (
            masks_per_pass(work))

        cut = on_cpu and not masks_fit(len(bboxes), size)

        def parts() -> Iterator[MaskPart]:
            for i in range(0, len(bboxes), step):
                rows = range(i, min(i + step, len(bboxes)))
                part = slice(rows.start, rows.stop)
                whole = MaskPart(
                    rows,
                    paste(mask_preds[part], bboxes[part], labels[part],
                          *common))
                yield from _windows(whole, bboxes[part]) if cut else [whole]
                del whole  # gone before the next one is made

        return collect_masks(parts(), len(bboxes), size, bboxes.device)


def _windows(whole: MaskPart, boxes: Tensor) -> Iterator[MaskPart]:
    """Yield what is to be encoded: the rest of a large mask is empty."""
    windows = paste_windows(boxes, whole.masks.shape[1:])
    for row, mask, (left, top, right, bottom) in zip(whole.rows, whole.masks,
                                                     windows):
        yield MaskPart([row], mask[None, top:bottom, left:right], top, left)


@MODELS.register_module()
class FCNMaskHead(_BoundedPasting, _FCNMaskHead):
    """mmdet's ``FCNMaskHead`` in bounded memory; arguments are its own.

    Source: Mask R-CNN, arXiv:1703.06870.
    """


@MODELS.register_module()
class CoarseMaskHead(_BoundedPasting, _CoarseMaskHead):
    """mmdet's ``CoarseMaskHead`` in bounded memory; arguments are its own.

    Source: PointRend, arXiv:1912.08193.
    """
