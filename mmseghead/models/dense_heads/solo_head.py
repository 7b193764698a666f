"""SOLO heads whose predictions have boxes.

Source: SOLO, arXiv:1912.04488; SOLOv2, arXiv:2003.10152. The methods have no
boxes; that predictions carry those of their masks is not in the papers.
"""
from mmdet.models.dense_heads import SOLOHead as _SOLOHead
from mmdet.models.dense_heads import SOLOV2Head as _SOLOV2Head
from mmdet.structures.mask import mask2bbox
from mmdet.utils import InstanceList

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
    """mmdet's ``SOLOV2Head`` with the masks' boxes; arguments are its own."""
