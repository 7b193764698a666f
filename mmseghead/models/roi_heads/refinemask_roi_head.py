"""RoI head with RefineMask's mask branch."""
from typing import List, Optional, Tuple

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import InstanceList
from torch import Tensor

from mmseghead.registry import MODELS
from .instance_feature_roi_head import InstanceFeatureMixin
from .mask_rois import positive_rois

#: RoIs that are segmented at once in a test.
CHUNK_SIZE = 100


@MODELS.register_module()
class RefineMaskRoIHead(InstanceFeatureMixin, StandardRoIHead):
    """Box branch of any two-stage detector and a RefineMask head.

    The mask head reads RoI features and, once per batch, the whole finest FPN
    map, whose stride must be its ``semantic_stride``.

    Source: RefineMask, arXiv:2104.08569.

    Args:
        max_mask_rois: Boxes of an image to learn masks from; the others of
            the sampler's positives are left out, drawn at random. None: all,
            as in the source.
        kwargs: Of `InstanceFeatureMixin`, for RefineMask++, and of
            ``StandardRoIHead``.
    """

    def __init__(self, max_mask_rois: Optional[int] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.max_mask_rois = max_mask_rois

    def _mask_forward(self, x: Tuple[Tensor], rois: Tensor,
                      labels: Tensor) -> dict:
        """Predict all stages of (N, 5) RoIs of (N,) classes."""
        feats = self.pooled_mask_feats(x, rois)
        stage_logits, semantic_logits = self.mask_head(feats, x[0], rois,
                                                       labels)
        return dict(
            stage_logits=stage_logits, semantic_logits=semantic_logits)

    def mask_loss(self, x: Tuple[Tensor],
                  sampling_results: List[SamplingResult], bbox_feats: Tensor,
                  batch_gt_instances: InstanceList) -> dict:
        """Compute the losses of the mask branch.

        Args:
            x: FPN maps, fine to coarse.
            sampling_results: Sampled boxes of each image.
            bbox_feats: Unused: features of all sampled boxes.
            batch_gt_instances: Ground truth of each image.

        Returns:
            ``loss_mask``, a dict of losses; without positives the mask loss
            is 0, connected to every parameter.
        """
        rois, gt_inds, taken = positive_rois(
            sampling_results, batch_gt_instances, self.max_mask_rois)
        labels = torch.cat([
            result.pos_gt_labels[rows]
            for result, rows in zip(sampling_results, taken)
        ])
        results = self._mask_forward(x, rois, labels)
        results.update(
            self.mask_head.loss_and_target(
                results['stage_logits'], results['semantic_logits'], rois,
                gt_inds, batch_gt_instances))
        return results

    def mask_logits(self, x: Tuple[Tensor], rois: Tensor,
                    results_list: InstanceList) -> List[Tensor]:
        """Predict the masks of detections, all stages fused.

        Args:
            x: FPN maps, fine to coarse.
            rois: (N, 5) boxes of all images, in the order of the images.
            results_list: The detections.

        Returns:
            Of each image (n, 1, S, S) logits.
        """
        labels = torch.cat([results.labels for results in results_list])
        maps = self.mask_head.semantic_maps(x[0])
        logits = []
        for part, classes in zip(
                rois.split(CHUNK_SIZE), labels.split(CHUNK_SIZE)):
            feats = self.pooled_mask_feats(x, part)
            logits.append(
                self.mask_head.predict_logits(feats, maps, part, classes))
        counts = [len(results) for results in results_list]
        return list(torch.cat(logits).split(counts))

    def forward(self,
                x: Tuple[Tensor],
                rpn_results_list: InstanceList,
                batch_data_samples: Optional[list] = None) -> tuple:
        """Return raw box scores, deltas and mask logits, for tracing.

        Args:
            x: FPN maps, fine to coarse.
            rpn_results_list: Proposals of each image.
            batch_data_samples: Unused.

        Returns:
            Class scores, box deltas and (at most 100, 1, S, S) logits of the
            most likely class.
        """
        rois = bbox2roi([found.bboxes for found in rpn_results_list])
        boxes = self._bbox_forward(x, rois)
        rois = rois[:CHUNK_SIZE]
        labels = boxes['cls_score'][:len(rois), :-1].argmax(1)
        stages = self._mask_forward(x, rois, labels)['stage_logits']
        return (boxes['cls_score'], boxes['bbox_pred'],
                self.mask_head.fused_logits(stages))
