"""RoI heads whose masks know their instance, and weight its score ("++").

Legend: N RoIs, K classes, C channels, S side of a mask.

Source: EffSeg, arXiv:2307.01545, section 4: Mask R-CNN++, PointRend++ and
RefineMask++, the baselines given what EffSeg has.
"""
from typing import List, Optional, Sequence, Tuple

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.models.utils import empty_instances
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import InstanceList
from torch import Tensor

from mmseghead.functional.mask_scores import predicted_scores
from mmseghead.registry import MODELS
from .box_feature import pooled_box_feature
from .point_rend_roi_head import PointRendRoIHead


class InstanceFeatureMixin:
    """Instance features and mask scores for heads that pool mask features.

    Args:
        instance_fusion: Config of the layer that fuses the box head's last
            shared feature, pooled from the RoIs to segment, with the pooled
            mask features. None: no fusion.
        mask_score_weighting: Multiply each score by the mean probability
            within the mask.
        args: Of the RoI head.
        kwargs: Likewise.

    Raises:
        ValueError: if there is a fusion but no ``mask_roi_extractor``.
    """

    def __init__(self,
                 *args,
                 instance_fusion: Optional[dict] = None,
                 mask_score_weighting: bool = False,
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.mask_score_weighting = mask_score_weighting
        self.instance_fusion = None
        if instance_fusion is not None:
            if self.share_roi_extractor:
                raise ValueError(
                    f'`mask_roi_extractor` of {type(self).__name__} must be '
                    'given next to `instance_fusion`, got None.')
            self.instance_fusion = MODELS.build(instance_fusion)

    def pooled_mask_feats(self, x: Sequence[Tensor], rois: Tensor) -> Tensor:
        """Pool the mask features of RoIs, and fuse their instance features.

        Args:
            x: FPN maps, fine to coarse.
            rois: (N, 5) in pixels.

        Returns:
            (N, C, s, s).
        """
        # Extractors cast boxes to the maps' type: half precision has neither
        # their areas nor their coordinates.
        x = [level.float() for level in x]
        extractor = self.mask_roi_extractor
        feats = extractor(x[:extractor.num_inputs], rois.float())
        if self.with_shared_head:
            feats = self.shared_head(feats)
        if self.instance_fusion is not None:
            known = pooled_box_feature(self, x, rois.float())
            feats = self.instance_fusion(feats, known)
        return feats

    def _mask_forward(self, x: Tuple[Tensor], rois: Optional[Tensor] = None,
                      **kwargs) -> dict:
        """Predict masks of (N, 5) RoIs."""
        if rois is None:
            return super()._mask_forward(x, rois, **kwargs)
        feats = self.pooled_mask_feats(x, rois)
        return dict(mask_preds=self.mask_head(feats), mask_feats=feats)

    def mask_logits(self, x: Tuple[Tensor], rois: Tensor,
                    results_list: InstanceList) -> List[Tensor]:
        """Predict the masks of detections.

        Args:
            x: FPN maps, fine to coarse.
            rois: (N, 5) boxes of all images, in the order of the images.
            results_list: The detections.

        Returns:
            Of each image (n, K or 1, S, S) logits.
        """
        logits = self._mask_forward(x, rois)['mask_preds']
        return list(logits.split([len(results) for results in results_list]))

    def predict_mask(self,
                     x: Tuple[Tensor],
                     batch_img_metas: List[dict],
                     results_list: InstanceList,
                     rescale: bool = False) -> InstanceList:
        """Segment the detections.

        Args:
            x: FPN maps, fine to coarse.
            batch_img_metas: Meta information of each image.
            results_list: Detections of each image, boxes in pixels of the
                network's input.
            rescale: Return boxes and masks in pixels of the original image.

        Returns:
            The detections with ``masks`` (n, H, W) bool and, if the head does
            so, weighted ``scores``.
        """
        rois = bbox2roi([results.bboxes for results in results_list])
        if not len(rois):
            return empty_instances(
                batch_img_metas,
                rois.device,
                task_type='mask',
                instance_results=results_list,
                mask_thr_binary=self.test_cfg.mask_thr_binary)
        logits = self.mask_logits(x, rois, results_list)
        if self.mask_score_weighting:
            for results, maps in zip(results_list, logits):
                sure = predicted_scores(maps, results.labels,
                                        self.test_cfg.mask_thr_binary)
                results.scores = results.scores * sure.to(results.scores)
        return self.mask_head.predict_by_feat(
            logits,
            results_list,
            batch_img_metas,
            rcnn_test_cfg=self.test_cfg,
            rescale=rescale)


@MODELS.register_module()
class InstanceFeatureRoIHead(InstanceFeatureMixin, StandardRoIHead):
    """Mask R-CNN++: any mask head on pooled features.

    Args:
        instance_fusion: Config of the layer that fuses the box head's last
            shared feature with the pooled mask features, or None.
        mask_score_weighting: Multiply scores by mask scores.
        kwargs: Of ``StandardRoIHead``.
    """


@MODELS.register_module()
class InstanceFeaturePointRendRoIHead(InstanceFeatureMixin, PointRendRoIHead):
    """PointRend++: the coarse mask head knows the instance.

    Args:
        instance_fusion: Config of the layer that fuses the box head's last
            shared feature with the pooled mask features, or None.
        mask_score_weighting: Multiply scores by mask scores.
        kwargs: Of ``PointRendRoIHead``.
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
            ``loss_mask``, a dict of ``loss_mask`` and ``loss_point``; without
            positives 0, connected to the fusion too.
        """
        results = super().mask_loss(x, sampling_results, bbox_feats,
                                    batch_gt_instances)
        if self.instance_fusion is not None and not any(
                len(result.pos_priors) for result in sampling_results):
            zero = sum(p.sum() * 0. for p in self.instance_fusion.parameters())
            losses = results['loss_mask']
            losses['loss_mask'] = losses['loss_mask'] + zero
        return results

    def mask_logits(self, x: Tuple[Tensor], rois: Tensor,
                    results_list: InstanceList) -> List[Tensor]:
        """Predict the masks of detections, subdivided.

        Args:
            x: FPN maps, fine to coarse.
            rois: (N, 5) boxes of all images, in the order of the images.
            results_list: The detections.

        Returns:
            Of each image (n, K, S, S) logits.
        """
        coarse = self._mask_forward(x, rois)['mask_preds']
        labels = torch.cat([results.labels for results in results_list])
        logits = self._mask_point_forward_test(x, rois, labels, coarse)
        return list(logits.split([len(results) for results in results_list]))
