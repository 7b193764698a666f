"""A RoI head that only segments boxes that others found."""
from typing import Dict, Tuple

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import SampleList
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import InstanceList
from mmengine.model import normal_init
from torch import Tensor

from mmseghead.registry import MODELS

_LOGITS_STD = 0.001


@MODELS.register_module()
class MaskOnlyRoIHead(StandardRoIHead):
    """Mask branch of a two-stage head, without a second box stage.

    The last convolution of the mask head begins near zero, as in Detectron.
    mmdet's begins so large that the mask loss and its gradients are several
    times those of the boxes: an optimiser that remembers them, as Adam does,
    learns boxes more slowly for hundreds of steps.

    Source: FCOSIS, section 4, "Mask prediction head"; RetinaMask,
    arXiv:1901.03353.

    Args:
        mask_roi_extractor: Extractor of RoI features.
        mask_head: Mask head, e.g. ``FCNMaskHead``.
        train_cfg: ``assigner`` and ``sampler`` that choose the RoIs to learn
            from, and ``mask_size``.
        test_cfg: ``mask_thr_binary``.
        init_cfg: Initialisation.
    """

    def init_weights(self) -> None:
        """Initialise; the mask head's last convolution near zero."""
        super().init_weights()
        normal_init(self.mask_head.conv_logits, std=_LOGITS_STD)

    def loss(self, x: Tuple[Tensor], rpn_results_list: InstanceList,
             batch_data_samples: SampleList) -> Dict[str, Tensor]:
        """Compute the mask loss on the positive ones of the given boxes.

        Args:
            x: FPN maps that the extractor reads, fine to coarse.
            rpn_results_list: ``bboxes`` (n, 4) of each image, in pixels of
                the network's input.
            batch_data_samples: Ground truth.

        Returns:
            ``loss_mask``; 0 and connected to the mask head if no box is
            positive.
        """
        gt_instances, ignored, _ = unpack_gt_instances(batch_data_samples)
        sampled = []
        for i, found in enumerate(rpn_results_list):
            # What assigners of mmdet call the boxes they judge.
            found.priors = found.pop('bboxes')
            assigned = self.bbox_assigner.assign(found, gt_instances[i],
                                                 ignored[i])
            sampled.append(
                self.bbox_sampler.sample(
                    assigned,
                    found,
                    gt_instances[i],
                    feats=[level[i][None] for level in x]))
        return self.mask_loss(x, sampled, None, gt_instances)['loss_mask']

    def predict(self,
                x: Tuple[Tensor],
                rpn_results_list: InstanceList,
                batch_data_samples: SampleList,
                rescale: bool = False) -> InstanceList:
        """Segment the given boxes.

        Args:
            x: FPN maps that the extractor reads.
            rpn_results_list: ``bboxes``, ``scores`` and ``labels`` of each
                image, boxes in pixels of the network's input.
            batch_data_samples: Meta information of the images.
            rescale: Return boxes and masks in pixels of the original image.

        Returns:
            The same instances with ``masks`` (n, H, W) bool.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.predict_mask(x, metas, rpn_results_list, rescale=rescale)

    def forward(self, x: Tuple[Tensor], rpn_results_list: InstanceList,
                batch_data_samples: SampleList) -> tuple:
        """Return the raw mask logits of the given boxes, for tracing."""
        rois = bbox2roi([found.bboxes for found in rpn_results_list])
        return (self._mask_forward(x, rois)['mask_preds'], )
