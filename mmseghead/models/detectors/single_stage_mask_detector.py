"""A one-stage detector whose boxes a RoI mask head segments."""
from typing import Any, Dict, List, Optional

import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import OptSampleList, SampleList
from mmdet.utils import ConfigType, InstanceList
from torch import Tensor

from mmseghead.registry import MODELS


@MODELS.register_module()
class SingleStageMaskDetector(SingleStageDetector):
    """Any dense box head in front of a mask-only RoI head, by config alone.

    With FCOS it is MaskFCOS (FCOSIS, section 4, "Mask prediction head"), with
    RetinaNet it is RetinaMask (arXiv:1901.03353). Only the data flow has two
    parts: there is no second box stage.

    Args:
        backbone: Backbone.
        bbox_head: Dense head that predicts boxes.
        roi_head: ``MaskOnlyRoIHead``; its extractor reads the first maps of
            the neck.
        neck: Neck.
        train_cfg: What the dense head needs, and ``proposals`` (as a test
            configuration: which of its boxes are offered to the RoI head in
            training) and ``roi`` (training configuration of the RoI head).
        test_cfg: That of the dense head and of the RoI head in one.
        data_preprocessor: Preprocessor.
        init_cfg: Initialisation.
    """

    def __init__(self,
                 backbone: ConfigType,
                 bbox_head: ConfigType,
                 roi_head: ConfigType,
                 neck: Optional[ConfigType] = None,
                 train_cfg: Optional[ConfigType] = None,
                 test_cfg: Optional[ConfigType] = None,
                 data_preprocessor: Optional[ConfigType] = None,
                 init_cfg: Any = None) -> None:
        super().__init__(
            backbone=backbone,
            neck=neck,
            bbox_head=bbox_head,
            train_cfg=train_cfg,
            test_cfg=test_cfg,
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg)
        roi_head = dict(roi_head, test_cfg=test_cfg)
        roi_head['train_cfg'] = None if train_cfg is None else train_cfg['roi']
        self.roi_head = MODELS.build(roi_head)

    def loss(self, batch_inputs: Tensor,
             batch_data_samples: SampleList) -> Dict[str, Tensor]:
        """Compute the losses of both heads.

        Args:
            batch_inputs: (B, 3, H, W) images.
            batch_data_samples: Ground truth with masks.

        Returns:
            The dense head's losses and ``loss_mask``.
        """
        x = self.extract_feat(batch_inputs)
        outs = self.bbox_head(x)
        truth, ignored, metas = unpack_gt_instances(batch_data_samples)
        losses = self.bbox_head.loss_by_feat(*outs, truth, metas, ignored)
        proposals = self._proposals(outs, metas)
        losses.update(self.roi_head.loss(x, proposals, batch_data_samples))
        return losses

    @torch.no_grad()
    def _proposals(self, outs: tuple, metas: List[dict]) -> InstanceList:
        """Decode the dense head's boxes in training."""
        if getattr(self.bbox_head, 'norm_on_bbox', False):
            # FCOS scales its distances to pixels in tests only.
            scores, boxes, *rest = outs
            boxes = [
                level * stride
                for level, stride in zip(boxes, self.bbox_head.strides)
            ]
            outs = (scores, boxes, *rest)
        return self.bbox_head.predict_by_feat(
            *outs, batch_img_metas=metas, cfg=self.train_cfg['proposals'])

    def predict(self,
                batch_inputs: Tensor,
                batch_data_samples: SampleList,
                rescale: bool = True) -> SampleList:
        """Detect and segment.

        Args:
            batch_inputs: (B, 3, H, W) images.
            batch_data_samples: Meta information of the images.
            rescale: Return boxes and masks in pixels of the original image.

        Returns:
            The samples with ``pred_instances``: ``bboxes``, ``scores``,
            ``labels`` and ``masks`` (n, H, W) bool.
        """
        x = self.extract_feat(batch_inputs)
        found = self.bbox_head.predict(x, batch_data_samples, rescale=False)
        found = self.roi_head.predict(
            x, found, batch_data_samples, rescale=rescale)
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _forward(self,
                 batch_inputs: Tensor,
                 batch_data_samples: OptSampleList = None) -> tuple:
        """Return the raw outputs of both heads, for tracing."""
        x = self.extract_feat(batch_inputs)
        outs = self.bbox_head(x)
        if batch_data_samples is None:
            return outs
        found = self.bbox_head.predict(x, batch_data_samples, rescale=False)
        return outs + self.roi_head.forward(x, found, batch_data_samples)
