"""PointRend's RoI head, safe on batches without objects."""
from typing import List, Tuple

from mmdet.models.roi_heads import PointRendRoIHead as _PointRendRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.utils import InstanceList
from torch import Tensor

from mmseghead.registry import MODELS


@MODELS.register_module()
class PointRendRoIHead(_PointRendRoIHead):
    """mmdet's head, but a batch without positives gives zero losses.

    mmdet 3.3.0 to 3.5.1 fails there with "RoI is a empty tensor", which ends
    a training as soon as no image of a batch holds an object.

    Source: PointRend, arXiv:1912.08193.
    """

    def mask_loss(self, x: Tuple[Tensor],
                  sampling_results: List[SamplingResult], bbox_feats: Tensor,
                  batch_gt_instances: InstanceList) -> dict:
        """Compute the coarse and the point loss.

        Args:
            x: FPN maps, fine to coarse.
            sampling_results: Sampled RoIs of each image.
            bbox_feats: RoI features of the box head.
            batch_gt_instances: Ground truth of each image.

        Returns:
            ``loss_mask``, a dict of ``loss_mask`` and ``loss_point``; both 0
            and connected to every parameter of the two heads, so that
            distributed training stays in step, when nothing is positive.
        """
        if any(len(result.pos_priors) for result in sampling_results):
            return super().mask_loss(x, sampling_results, bbox_feats,
                                     batch_gt_instances)
        zeros = [
            sum(p.sum() * 0. for p in head.parameters())
            for head in (self.mask_head, self.point_head)
        ]
        return dict(loss_mask=dict(loss_mask=zeros[0], loss_point=zeros[1]))
