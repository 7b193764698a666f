"""RoI heads with EffSeg's mask branch, of box and of query detectors."""
from typing import Dict, List, Optional, Tuple

import torch
from mmdet.models.roi_heads import SparseRoIHead, StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import InstanceList
from mmengine.config import ConfigDict
from torch import Tensor

from mmseghead.registry import MODELS
from .box_feature import pooled_box_feature
from .mask_rois import clip_boxes, distinct_rois, positive_rois


def _build_mask_head(mask_roi_extractor: Optional[dict],
                     mask_head: dict) -> torch.nn.Module:
    """Build a mask head that pools by itself."""
    if mask_roi_extractor is not None:
        mask_head = dict(mask_head, roi_extractor=mask_roi_extractor)
    return MODELS.build(mask_head)


@MODELS.register_module()
class EffSegRoIHead(StandardRoIHead):
    """Box branch of any two-stage detector and EffSeg's mask branch.

    The mask head reads the whole pyramid. If it wants instance features it
    gets the last shared feature of the box head, pooled anew from the boxes
    to segment, in training and test alike.

    Source: EffSeg, arXiv:2307.01545; it has queries for instance features.

    Args:
        max_mask_rois: Boxes of an image to learn masks from; the others of
            the sampler's positives only train the box branch. None: all.
        kwargs: Of ``StandardRoIHead``. The mask head gets
            ``mask_roi_extractor``, if there is one, as its own.
    """

    def __init__(self, max_mask_rois: Optional[int] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.max_mask_rois = max_mask_rois

    def init_mask_head(self, mask_roi_extractor: Optional[dict],
                       mask_head: dict) -> None:
        """Build the mask head.

        Args:
            mask_roi_extractor: Config, handed to the mask head, or None.
            mask_head: Config.
        """
        self.mask_head = _build_mask_head(mask_roi_extractor, mask_head)

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
            ``loss_mask``, a dict of losses; 0 and connected to every
            parameter of the mask head if nothing is positive.
        """
        rois, gt_inds, _ = positive_rois(sampling_results, batch_gt_instances,
                                         self.max_mask_rois)
        if len(rois) == 0:
            return self.mask_head.zero_loss()
        outputs = self._mask_forward(x, rois)
        return self.mask_head.loss_and_target(outputs, rois, gt_inds,
                                              batch_gt_instances)

    def _mask_forward(self, x: Tuple[Tensor],
                      rois: Tensor) -> Dict[str, list]:
        """Return what the mask head predicts for (R, 5) RoIs."""
        inst_feats = None
        if self.mask_head.inst_feat_channels is not None:
            inst_feats = pooled_box_feature(self, x, rois)
        return self.mask_head(x, rois, inst_feats)

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
            The detections with ``masks`` (n, H, W) bool.
        """
        boxes = [
            clip_boxes(results.bboxes, meta['img_shape'])
            for results, meta in zip(results_list, batch_img_metas)
        ]
        rois = bbox2roi(boxes)
        # One mask for a box that was found as several classes.
        distinct, places = distinct_rois(rois)
        outputs = self._mask_forward(x, rois[distinct])
        logits = self.mask_head.mask_logits(outputs)[-1][places]
        logits = logits.split([len(item) for item in boxes])
        return self.mask_head.predict_by_feat(logits, boxes, results_list,
                                              batch_img_metas, rescale)

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
            Class scores, box deltas and (at most 100, 1, S, S) mask logits.
        """
        rois = bbox2roi([found.bboxes for found in rpn_results_list])
        boxes = self._bbox_forward(x, rois)
        outputs = self._mask_forward(x, rois[:100])
        return (boxes['cls_score'], boxes['bbox_pred'],
                self.mask_head.mask_logits(outputs)[-1])


@MODELS.register_module()
class EffSegQueryRoIHead(SparseRoIHead):
    """Stages of Sparse R-CNN or QueryInst, and EffSeg on the last queries.

    There is one mask head, not one per stage. Its instance features are the
    queries that leave the last stage, its boxes those that it predicts. A
    query is segmented once, however many classes it is found as.

    Source: EffSeg, arXiv:2307.01545, section 3.1, on another query detector.

    Args:
        max_mask_rois: Matched queries of an image to learn masks from; None:
            all.
        kwargs: Of ``SparseRoIHead``. ``mask_head`` is one config; it gets
            ``mask_roi_extractor``, if there is one, as its own.
    """

    def __init__(self, max_mask_rois: Optional[int] = None, **kwargs) -> None:
        super().__init__(**kwargs)
        self.max_mask_rois = max_mask_rois

    def init_mask_head(self, mask_roi_extractor: Optional[dict],
                       mask_head: dict) -> None:
        """Build the mask head.

        Args:
            mask_roi_extractor: Config, handed to the mask head, or None.
            mask_head: Config.
        """
        self.mask_head = _build_mask_head(mask_roi_extractor, mask_head)

    def _bbox_forward(self, *args, **kwargs) -> dict:
        """Hand on the queries that leave a stage, not those within it."""
        results = super()._bbox_forward(*args, **kwargs)
        results['attn_feats'] = results['object_feats']
        return results

    def mask_loss(self, stage: int, x: Tuple[Tensor], bbox_results: dict,
                  batch_gt_instances: InstanceList,
                  rcnn_train_cfg: ConfigDict) -> dict:
        """Compute the losses of the mask branch in the last stage.

        Args:
            stage: Number of the stage, from 0.
            x: FPN maps, fine to coarse.
            bbox_results: What the stage's box branch returned.
            batch_gt_instances: Ground truth of each image.
            rcnn_train_cfg: Unused.

        Returns:
            ``loss_mask``, a dict of losses, empty before the last stage.
        """
        if stage < self.num_stages - 1:
            return dict(loss_mask={})
        results = bbox_results['sampling_results']
        rois, gt_inds, taken = positive_rois(results, batch_gt_instances,
                                             self.max_mask_rois)
        queries = torch.cat([
            feats[result.pos_inds[rows]] for feats, result, rows in zip(
                bbox_results['object_feats'], results, taken)
        ])
        if len(rois) == 0:
            return self.mask_head.zero_loss(queries)
        outputs = self.mask_head(x, rois, queries)
        return self.mask_head.loss_and_target(outputs, rois, gt_inds,
                                              batch_gt_instances)

    def predict_mask(self,
                     x: Tuple[Tensor],
                     batch_img_metas: List[dict],
                     results_list: InstanceList,
                     rescale: bool = False) -> InstanceList:
        """Segment the detections.

        Args:
            x: FPN maps, fine to coarse.
            batch_img_metas: Meta information of each image.
            results_list: Detections of each image as `predict_bbox` returns
                them, boxes in pixels of the network's input.
            rescale: Return boxes and masks in pixels of the original image.

        Returns:
            The detections with ``masks`` (n, H, W) bool.
        """
        num_classes = self.bbox_head[-1].num_classes
        boxes, feats, queries = [], [], []
        for results, meta in zip(results_list, batch_img_metas):
            results.pop('proposals')
            queries.append(results.pop('topk_inds') // num_classes)
            feats.append(results.pop('attn_feats')[queries[-1]])
            boxes.append(clip_boxes(results.bboxes, meta['img_shape']))
        rois = bbox2roi(boxes)
        distinct, places = distinct_rois(rois, torch.cat(queries))
        outputs = self.mask_head(x, rois[distinct], torch.cat(feats)[distinct])
        logits = self.mask_head.mask_logits(outputs)[-1][places]
        logits = logits.split([len(item) for item in boxes])
        return self.mask_head.predict_by_feat(logits, boxes, results_list,
                                              batch_img_metas, rescale)
