"""RetinaNet's and FCOS's heads with PointINS's mask branch.

Legend: B images, L levels, A anchors per location, F places (location and
anchor) of all levels, n instances of an image, K score channels.
"""
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from mmdet.models.dense_heads import FCOSHead, RetinaHead
from mmdet.models.task_modules.prior_generators import anchor_inside_flags
from mmdet.models.utils import filter_scores_and_topk, unpack_gt_instances
from mmdet.structures import SampleList
from mmdet.utils import ConfigType, InstanceList, OptConfigType
from mmengine.structures import InstanceData
from torch import Tensor

from mmseghead.functional.pyramid_points import unravel_places
from mmseghead.registry import MODELS
from .pointins_mask_branch import Positives


class _PointINSHead:
    """What both heads share: losses, and detections that keep their place.

    Source: PointINS, arXiv:2003.06148.
    """

    def __init__(self, *args, mask_branch: ConfigType, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.mask_branch = MODELS.build(
            dict(
                mask_branch,
                in_channels=self.in_channels,
                num_classes=self.num_classes,
                num_anchors=self.num_base_priors))

    def loss(self, x: Tuple[Tensor, ...],
             batch_data_samples: SampleList) -> Dict[str, Any]:
        """Compute the detector's losses and the mask loss.

        Args:
            x: L maps of the pyramid.
            batch_data_samples: Ground truth with masks.

        Returns:
            The detector's losses, and ``loss_mask``.
        """
        outs = self(x)
        truth, ignored, metas = unpack_gt_instances(batch_data_samples)
        losses = self.loss_by_feat(*outs, truth, metas, ignored)
        positives = self.positives(outs[1], truth, metas)
        losses['loss_mask'] = self.mask_branch.loss(x, positives, truth)
        return losses

    def predict(self,
                x: Tuple[Tensor, ...],
                batch_data_samples: SampleList,
                rescale: bool = False) -> InstanceList:
        """Detect, then segment what was found.

        Args:
            x: L maps of the pyramid.
            batch_data_samples: Meta information of the images.
            rescale: Return boxes and masks in pixels of the original image.

        Returns:
            For each image ``bboxes``, ``scores``, ``labels``, ``masks`` (n,
            H, W) bool and ``places`` (n, 4), int64 level, row, column and
            anchor that found the instance.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        results = self.predict_by_feat(
            *self(x), batch_img_metas=metas, rescale=rescale)
        key = 'ori_shape' if rescale else 'img_shape'
        return self.mask_branch.predict(
            x, results, [tuple(meta[key][:2]) for meta in metas],
            self.test_cfg.get('mask_thr_binary', 0.5))

    @torch.no_grad()
    def positives(self, bbox_preds: Sequence[Tensor],
                  batch_gt_instances: InstanceList,
                  batch_img_metas: Sequence[dict]) -> List[Positives]:
        """Find what the places that the detector just learned from predict.

        Args:
            bbox_preds: L outputs (B, A * 4, h, w) of the regression branch,
                as ``forward`` returns them.
            batch_gt_instances: Ground truth.
            batch_img_metas: ``img_shape`` and ``pad_shape`` of the images.

        Returns:
            The positive places of each image; no gradient flows into them.
        """
        sizes = [tuple(level.shape[-2:]) for level in bbox_preds]
        priors = self.prior_generator.grid_priors(
            sizes, device=bbox_preds[0].device)
        preds = torch.cat([
            _places_first(level.float())
            for level in self._preds_of_tests(bbox_preds)
        ], 1)  # (B, F, 4)
        assigned = self._assigned_places(priors, sizes, batch_gt_instances,
                                         batch_img_metas)
        priors, results = torch.cat(priors), []
        for pred, (rows, gt_inds), meta in zip(preds, assigned,
                                               batch_img_metas):
            places = torch.stack(
                unravel_places(rows, sizes, self.num_base_priors), 1)
            boxes = self.bbox_coder.decode(priors[rows], pred[rows],
                                           meta['img_shape'])
            geometry = self._geometry(pred[rows], places[:, 0])
            results.append(Positives(places, geometry, boxes, gt_inds))
        return results

    def _predict_by_feat_single(self,
                                cls_score_list: List[Tensor],
                                bbox_pred_list: List[Tensor],
                                score_factor_list: List[Optional[Tensor]],
                                mlvl_priors: List[Tensor],
                                img_meta: dict,
                                cfg: OptConfigType,
                                rescale: bool = False,
                                with_nms: bool = True) -> InstanceData:
        """Detect in one image as mmdet does, and keep the places."""
        cfg = self.test_cfg if cfg is None else cfg
        sizes = [tuple(scores.shape[-2:]) for scores in cls_score_list]
        begin, levels = 0, []
        for scores, preds, factors, priors in zip(
                cls_score_list, bbox_pred_list, score_factor_list,
                mlvl_priors):
            found = self._candidates(scores, preds, factors, cfg)
            found.priors = priors[found.rows]
            found.rows = found.rows + begin
            begin += len(priors)
            levels.append(found)
        found = InstanceData.cat(levels)
        found.places = torch.stack(
            unravel_places(found.pop('rows'), sizes, self.num_base_priors), 1)
        found.bboxes = self.bbox_coder.decode(
            found.pop('priors'), found.bbox_pred, img_meta['img_shape'])
        found.geometry = self._geometry(
            found.pop('bbox_pred'), found.places[:, 0])
        return self._bbox_post_process(
            found, cfg, rescale=rescale, with_nms=with_nms, img_meta=img_meta)

    def _candidates(self, scores: Tensor, preds: Tensor,
                    factors: Optional[Tensor], cfg: Any) -> InstanceData:
        """Return the places of one level that pass threshold and top-k.

        Args:
            scores: (A * K, h, w) logits.
            preds: (A * 4, h, w).
            factors: (A, h, w) logits that weight the scores, or None.
            cfg: ``score_thr`` and ``nms_pre``.
        """
        data = dict(bbox_pred=_places_first(preds[None].float())[0])
        if factors is not None:
            data['score_factors'] = factors.permute(1, 2, 0).flatten().sigmoid()
        scores = scores.permute(1, 2, 0).reshape(-1, self.cls_out_channels)
        scores = (
            scores.sigmoid()
            if self.use_sigmoid_cls else scores.softmax(-1)[:, :-1])
        scores, labels, rows, data = filter_scores_and_topk(
            scores, cfg.get('score_thr', 0), cfg.get('nms_pre', -1), data)
        return InstanceData(scores=scores, labels=labels, rows=rows, **data)

    def _preds_of_tests(self, bbox_preds: Sequence[Tensor]) -> List[Tensor]:
        """Return what ``forward`` would give for ``bbox_preds`` in a test."""
        return list(bbox_preds)

    def _geometry(self, preds: Tensor, levels: Tensor) -> Tensor:
        """Describe boxes to the weight generator.

        Args:
            preds: (n, 4) outputs of the regression branch in a test.
            levels: (n,) int64.

        Returns:
            (n, 4) without unit.
        """
        raise NotImplementedError

    def _assigned_places(
            self, priors: List[Tensor], sizes: Sequence[Tuple[int, int]],
            batch_gt_instances: InstanceList,
            batch_img_metas: Sequence[dict]) -> List[Tuple[Tensor, Tensor]]:
        """Return each image's positive places and their instances.

        Args:
            priors: L tensors of the priors of a level.
            sizes: (h, w) of each level.
            batch_gt_instances: Ground truth.
            batch_img_metas: ``img_shape`` and ``pad_shape`` of the images.

        Returns:
            Per image (n,) int64 flat places and (n,) int64 instances.
        """
        raise NotImplementedError


@MODELS.register_module()
class PointINSFCOSHead(_PointINSHead, FCOSHead):
    """mmdet's ``FCOSHead`` with PointINS's mask branch.

    Args:
        mask_branch: Config of the mask branch; ``in_channels``,
            ``num_classes`` and ``num_anchors`` are filled in.
        *args: As for ``FCOSHead``.
        **kwargs: Likewise.
    """

    def _preds_of_tests(self, bbox_preds: Sequence[Tensor]) -> List[Tensor]:
        if not (self.norm_on_bbox and self.training):
            return list(bbox_preds)
        return [
            level * stride for level, stride in zip(bbox_preds, self.strides)
        ]

    def _geometry(self, preds: Tensor, levels: Tensor) -> Tensor:
        """Return distances to the box's sides in strides of the level."""
        return preds / preds.new_tensor(self.strides)[levels, None]

    def _assigned_places(
            self, priors: List[Tensor], sizes: Sequence[Tuple[int, int]],
            batch_gt_instances: InstanceList,
            batch_img_metas: Sequence[dict]) -> List[Tuple[Tensor, Tensor]]:
        # FCOS hands out labels only: let each instance be a class of its own,
        # beyond the one that means background.
        first = self.num_classes + 1
        numbered = [
            InstanceData(
                bboxes=truth.bboxes,
                labels=first +
                torch.arange(len(truth), device=truth.bboxes.device))
            for truth in batch_gt_instances
        ]
        labels, _ = self.get_targets(priors, numbered)
        number = len(batch_gt_instances)
        flat = torch.cat([level.view(number, -1) for level in labels], 1)
        results = []
        for label in flat:
            rows = (label >= first).nonzero()[:, 0]
            results.append((rows, label[rows] - first))
        return results


@MODELS.register_module()
class PointINSRetinaHead(_PointINSHead, RetinaHead):
    """mmdet's ``RetinaHead`` with PointINS's mask branch.

    Args:
        mask_branch: Config of the mask branch; ``in_channels``,
            ``num_classes`` and ``num_anchors`` are filled in.
        *args: As for ``RetinaHead``.
        **kwargs: Likewise.
    """

    def _geometry(self, preds: Tensor, levels: Tensor) -> Tensor:
        """Return the deltas as they are: relative to the anchor."""
        return preds

    def _assigned_places(
            self, priors: List[Tensor], sizes: Sequence[Tuple[int, int]],
            batch_gt_instances: InstanceList,
            batch_img_metas: Sequence[dict]) -> List[Tuple[Tensor, Tensor]]:
        # Those of the assignment that `loss_by_feat` just made; they count
        # the anchors within the image only.
        sampled = self._raw_positive_infos.pop('sampling_results')
        anchors, results = torch.cat(priors), []
        for result, meta in zip(sampled, batch_img_metas):
            flags = self.prior_generator.valid_flags(
                sizes, meta['pad_shape'], anchors.device)
            inside = anchor_inside_flags(anchors, torch.cat(flags),
                                         meta['img_shape'][:2],
                                         self.train_cfg['allowed_border'])
            rows = inside.nonzero()[result.pos_inds, 0]
            results.append((rows, result.pos_assigned_gt_inds))
        return results


def _places_first(preds: Tensor) -> Tensor:
    """Turn (B, A * 4, h, w) into (B, h * w * A, 4), as mmdet orders priors."""
    return preds.permute(0, 2, 3, 1).reshape(len(preds), -1, 4)
