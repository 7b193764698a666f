"""Test-time augmentation for masks."""
from typing import List, Optional

import numpy as np
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_flip
from mmengine.model import BaseTTAModel
from mmengine.structures import InstanceData

from mmseghead.functional.mask_parts import masks_fit
from mmseghead.functional.mask_rle import EncodedMasks, decoded, encode_mask
from mmseghead.functional.mask_voting import vote
from mmseghead.registry import MODELS

_AXES = dict(horizontal=(1, ), vertical=(0, ), diagonal=(0, 1))
_FIELDS = ('bboxes', 'scores', 'labels', 'masks')


@MODELS.register_module()
class MaskTTAModel(BaseTTAModel):
    """Any detector, asked about several views of an image that then vote.

    Views differ in scale and flip. Their detections are put back into the
    original image and merged by ``mmseghead.functional.mask_voting.vote``.
    Masks are RLEs meanwhile, so that many views need little memory. Works for
    every method of the zoo: it needs final predictions only. Detectors
    without masks vote with boxes.

    Args:
        iou_thr: From which IoU on two views show one object.
        max_per_img: Detections kept of an image; None: all.
        **kwargs: ``module`` and ``data_preprocessor``, see ``BaseTTAModel``.

    Raises:
        ValueError: if ``iou_thr`` is not in (0, 1].
    """

    def __init__(self, iou_thr: float = 0.5,
                 max_per_img: Optional[int] = 100, **kwargs) -> None:
        super().__init__(**kwargs)
        if not 0 < iou_thr <= 1:
            raise ValueError('`iou_thr` of MaskTTAModel must be in (0, 1], '
                             f'got {iou_thr!r}.')
        self.iou_thr = iou_thr
        self.max_per_img = max_per_img

    def merge_preds(
            self, data_samples_list: List[List[DetDataSample]]
    ) -> List[DetDataSample]:
        """Merge the views of each image.

        Args:
            data_samples_list: For each image the samples of its views, with
                ``pred_instances`` in pixels of the flipped original image,
                ``ori_shape``, ``flip`` and ``flip_direction``.

        Returns:
            For each image its first sample, with merged ``pred_instances``:
            ``bboxes``, ``scores``, ``labels`` and, if the model has them,
            ``masks`` (n, H, W) bool or ``EncodedMasks``, as they fit.
        """
        merged = []
        for samples in data_samples_list:
            found = vote([upright(sample) for sample in samples],
                         self.iou_thr, self.max_per_img)
            if 'masks' in found and masks_fit(len(found), found.masks.size):
                found.masks = found.masks.to_tensor().to(found.scores.device)
            samples[0].pred_instances = found
            merged.append(samples[0])
        return merged


def upright(sample: DetDataSample) -> InstanceData:
    """Return a view's detections as the original image shows them.

    Args:
        sample: See ``MaskTTAModel.merge_preds``.

    Returns:
        ``bboxes``, ``scores``, ``labels`` and, if there are, ``masks`` as
        ``EncodedMasks``.
    """
    found = sample.pred_instances
    result = InstanceData(
        **{name: found[name] for name in _FIELDS if name in found})
    axes = ()
    if sample.metainfo.get('flip'):
        direction = sample.metainfo['flip_direction']
        axes = _AXES[direction]
        result.bboxes = bbox_flip(result.bboxes, sample.ori_shape[:2],
                                  direction)
    if 'masks' in result and (axes or not isinstance(result.masks,
                                                     EncodedMasks)):
        size = result.masks.shape[1:]
        result.masks = EncodedMasks([
            encode_mask(np.flip(mask, axes) if axes else mask)
            for mask in decoded(result.masks)
        ], size)
    return result
