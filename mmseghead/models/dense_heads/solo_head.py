"""SOLO heads whose predictions have boxes.

Source: SOLO, arXiv:1912.04488; SOLOv2, arXiv:2003.10152. The methods have no
boxes; that predictions carry those of their masks is not in the papers.
"""
from typing import Dict, List

from mmdet.models.dense_heads import SOLOHead as _SOLOHead
from mmdet.models.dense_heads import SOLOV2Head as _SOLOV2Head
from mmdet.structures.mask import mask2bbox
from mmdet.utils import InstanceList
from torch import Tensor

from mmseghead.registry import MODELS


class _BoxesFromMasks:
    """Replace mmdet's all-zero boxes, and make empty masks bool too."""

    def predict_by_feat(self, *args, **kwargs) -> InstanceList:
        """Predict as the base does, with the tight box of each mask."""
        results = super().predict_by_feat(*args, **kwargs)
        for result in results:
            result.masks = result.masks.bool()
            result.bboxes = mask2bbox(result.masks)
        return results


@MODELS.register_module()
class SOLOHead(_BoxesFromMasks, _SOLOHead):
    """mmdet's ``SOLOHead`` with the masks' boxes; arguments are its own."""


@MODELS.register_module()
class SOLOV2Head(_BoxesFromMasks, _SOLOV2Head):
    """mmdet's ``SOLOV2Head`` with the masks' boxes; arguments are its own.

    Without objects the kernels get a gradient of 0, not none, which
    distributed training needs.
    """

    def loss_by_feat(self, mlvl_kernel_preds: List[Tensor], *args,
                     **kwargs) -> Dict[str, Tensor]:
        """Compute mmdet's losses.

        Args:
            mlvl_kernel_preds: Per level (B, D, S, S) kernels.
            *args: As for mmdet's head.
            **kwargs: Likewise.

        Returns:
            ``loss_mask`` and ``loss_cls``.
        """
        losses = super().loss_by_feat(mlvl_kernel_preds, *args, **kwargs)
        losses['loss_mask'] = losses['loss_mask'] + sum(
            kernels.sum() * 0 for kernels in mlvl_kernel_preds)
        return losses
