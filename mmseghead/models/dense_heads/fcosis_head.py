"""FCOSIS's detection head: FCOSreg, coarse masks and centres of mass.

Legend: B images, n instances of an image, N locations of all levels, C
classes, h/w of a level's map.
"""
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.models.utils import filter_scores_and_topk
from mmdet.utils import (ConfigType, InstanceList, OptConfigType,
                         OptInstanceList, reduce_mean)
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmseghead.functional.mask_labels import mask_centers, masks_to_tensor
from mmseghead.models.layers.attention_map import LevelCues
from mmseghead.registry import MODELS
from .fcosreg_head import FCOSRegHead, ImageTargets, by_location


class ImageCues(NamedTuple):
    """What the mask head is told of one image."""

    levels: Tensor  #: (n,) level of each instance
    centers: Tensor  #: (n, 2) x, y of its centre of mass, pixels
    maps: List[LevelCues]  #: predictions of each level


@MODELS.register_module()
class FCOSISHead(FCOSRegHead):
    """FCOSreg with a coarse segmentation and a centre regression.

    Both are at each level's own stride: the coarse segmentation is one class-
    agnostic logit, read from the classification tower; the centre regression
    points from a location to the centre of mass of its instance, in strides,
    read from the box tower. Which tower reads what is not in the paper.

    Source: FCOSIS, section 3.2.

    Args:
        start_level: Index of the first map of the neck to detect on. The
            paper detects on P3-P7 of a pyramid that begins with P2.
        loss_coarse: Loss of the coarse segmentation: all locations of the
            levels that have objects.
        loss_center: Loss of the centre regression, in strides: locations of
            which an object of the level covers more than half.
        *args: As for ``FCOSRegHead``.
        **kwargs: Likewise.
    """

    def __init__(self,
                 *args,
                 start_level: int = 1,
                 loss_coarse: ConfigType = dict(
                     type='mmdet.CrossEntropyLoss',
                     use_sigmoid=True,
                     loss_weight=1.0),
                 loss_center: ConfigType = dict(
                     type='mmdet.SmoothL1Loss', beta=1.0, loss_weight=1.0),
                 **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.start_level = start_level
        self.loss_coarse = MODELS.build(loss_coarse)
        self.loss_center = MODELS.build(loss_center)
        self._positive_infos: Optional[List[ImageCues]] = None

    def _init_layers(self) -> None:
        super()._init_layers()
        self.conv_coarse = nn.Conv2d(self.feat_channels, 1, 3, padding=1)
        self.conv_center = nn.Conv2d(self.feat_channels, 2, 3, padding=1)

    def forward(self, x: Tuple[Tensor]) -> Tuple[List[Tensor], ...]:
        """Predict on the neck's maps from ``start_level`` on.

        Args:
            x: Maps of the neck, fine to coarse.

        Returns:
            Per level class logits (B, C, h, w), box distances (B, 4, h, w),
            centerness logits (B, 1, h, w), coarse mask logits (B, 1, h, w)
            and centres (B, 2, h, w) in strides.
        """
        return super().forward(x[self.start_level:])

    def forward_single(self, x: Tensor, scale: nn.Module,
                       stride: int) -> Tuple[Tensor, ...]:
        """Predict on one level; see ``forward``."""
        # What FCOSHead adds to its base is repeated here with the towers'
        # features at hand, which it does not give away.
        cls_score, distances, cls_feat, reg_feat = super(
            FCOSHead, self).forward_single(x)
        centerness = self.conv_centerness(
            reg_feat if self.centerness_on_reg else cls_feat)
        distances = scale(distances).float()
        if self.norm_on_bbox:
            distances = distances.clamp(min=0)
            if not self.training:
                distances = distances * stride
        else:
            distances = distances.exp()
        return (cls_score, distances, centerness, self.conv_coarse(cls_feat),
                self.conv_center(reg_feat))

    def loss_by_feat(
            self,
            cls_scores: List[Tensor],
            bbox_preds: List[Tensor],
            centernesses: List[Tensor],
            coarses: List[Tensor],
            centers: List[Tensor],
            batch_gt_instances: InstanceList,
            batch_img_metas: List[dict],
            batch_gt_instances_ignore: OptInstanceList = None
    ) -> Dict[str, Tensor]:
        """Compute FCOSreg's losses and those of the two cues.

        Args:
            cls_scores: See ``forward``.
            bbox_preds: Likewise.
            centernesses: Likewise.
            coarses: Likewise.
            centers: Likewise.
            batch_gt_instances: ``bboxes``, ``labels`` and ``masks``.
            batch_img_metas: Not used.
            batch_gt_instances_ignore: Not used, as in FCOS.

        Returns:
            FCOSreg's losses, ``loss_coarse`` and ``loss_center``; both 0 and
            connected to their predictions without objects.
        """
        sizes = [tuple(scores.shape[-2:]) for scores in cls_scores]
        device = cls_scores[0].device
        targets = self.image_targets(sizes, batch_gt_instances, device)
        losses = self.detection_losses(cls_scores, bbox_preds, centernesses,
                                       targets)
        masses = [
            mask_centers(
                masks_to_tensor(item.masks, device), item.bboxes)
            for item in batch_gt_instances
        ]
        losses['loss_coarse'] = self._coarse_loss(coarses, targets)
        losses['loss_center'] = self._center_loss(centers, targets, masses)
        self._positive_infos = [
            ImageCues(
                self.instance_levels(item.bboxes, target), mass,
                self.level_cues(coarses, centers, i))
            for i, (item, target, mass) in enumerate(
                zip(batch_gt_instances, targets, masses))
        ]
        return losses

    def get_positive_infos(self) -> List[ImageCues]:
        """Return what the last ``loss`` found out, for the mask head.

        Raises:
            RuntimeError: if there was none.
        """
        if self._positive_infos is None:
            raise RuntimeError('get_positive_infos of FCOSISHead must be '
                               'called after `loss`.')
        # Not kept: it holds the graph of the step.
        infos, self._positive_infos = self._positive_infos, None
        return infos

    def _learned_on(self, image: ImageTargets,
                    levels: Tensor) -> List[Tuple[Tensor, Tensor]]:
        """Return for each level which instances are learned there.

        Args:
            image: What the image's locations learn.
            levels: (N,) the level of each location.

        Returns:
            Per level the (k,) indices of the instances that a location of the
            level learns, and their (k, h, w) mask labels.
        """
        learned = []
        for level, seg in enumerate(image.seg_maps):
            here = image.instances[levels == level].unique()
            here = here[here >= 0]
            learned.append((here, seg[here]))
        return learned

    def _coarse_loss(self, coarses: List[Tensor],
                     targets: List[ImageTargets]) -> Tensor:
        """Compare all locations of the levels on which objects are learned.

        There, the target is the largest mask label of those objects.
        """
        levels = self._level_of_location(coarses)
        wanted, weights = [], []
        for image in targets:
            for here, seg in self._learned_on(image, levels):
                some = len(here) > 0
                target = seg.amax(0) if some else seg.new_zeros(seg.shape[1:])
                wanted.append(target.flatten())
                weights.append(torch.full_like(wanted[-1], float(some)))
        target, weight = torch.cat(wanted), torch.cat(weights)
        total = reduce_mean(weight.sum()).clamp(min=1).item()
        logits = by_location(coarses)[:, 0].float()
        return self.loss_coarse(
            logits, target, weight=weight, avg_factor=total)

    def _center_loss(self, centers: List[Tensor], targets: List[ImageTargets],
                     masses: List[Tensor]) -> Tensor:
        """Regress to the object that covers more than half of a cell.

        All such locations of a level learn the objects of that level, also
        where FCOS would learn them on another level: the attention maps ask
        all locations in a box.
        """
        sizes = [tuple(level.shape[-2:]) for level in centers]
        points = self.prior_generator.grid_priors(
            sizes, device=centers[0].device)
        levels = self._level_of_location(centers)
        wanted, covered = [], []
        for image, mass in zip(targets, masses):
            learned = self._learned_on(image, levels)
            for (here, seg), place, stride in zip(learned, points,
                                                  self.strides):
                own = place.new_zeros(len(place), dtype=torch.bool)
                target = torch.zeros_like(place)
                if len(here):
                    most, chosen = seg.flatten(1).max(0)
                    own = most > 0.5
                    target = (mass[here][chosen] - place) / stride
                wanted.append(target)
                covered.append(own)
        own = torch.cat(covered)
        total = reduce_mean(own.sum().float()).clamp(min=1).item()
        predicted = by_location(centers).float()
        if not own.any():
            return predicted.sum() * 0
        return self.loss_center(
            predicted[own], torch.cat(wanted)[own], avg_factor=total)

    @staticmethod
    def _level_of_location(maps: List[Tensor]) -> Tensor:
        """Return (N,) the level of each location."""
        counts = [level.shape[-2] * level.shape[-1] for level in maps]
        device = maps[0].device
        return torch.repeat_interleave(
            torch.arange(len(maps), device=device),
            torch.tensor(counts, device=device))

    def instance_levels(self, boxes: Tensor, target: ImageTargets) -> Tensor:
        """Return on which level each instance of an image is segmented.

        Args:
            boxes: (n, 4) in pixels.
            target: What the image's locations learn.

        Returns:
            (n,) int64: where most of an instance's locations are; where it
            has none, the level that takes its half length.
        """
        levels = self._level_of_location(target.seg_maps)
        number = len(self.strides)
        found = target.instances >= 0
        pairs = target.instances[found] * number + levels[found]
        counts = torch.bincount(
            pairs, minlength=len(boxes) * number).view(len(boxes), number)
        half = (boxes[:, 2:] - boxes[:, :2]).amax(1) / 2
        ends = half.new_tensor([end for _, end in self.regress_ranges])
        by_size = torch.searchsorted(ends, half).clamp(max=number - 1)
        return torch.where(counts.sum(1) > 0, counts.argmax(1), by_size)

    def level_cues(self, coarses: List[Tensor], centers: List[Tensor],
                   image: int) -> List[LevelCues]:
        """Return one image's predictions for the attention maps."""
        return [
            LevelCues(stride, coarse[image, 0], center[image] * stride)
            for stride, coarse, center in zip(self.strides, coarses, centers)
        ]

    def predict_by_feat(self,
                        cls_scores: List[Tensor],
                        bbox_preds: List[Tensor],
                        centernesses: List[Tensor],
                        coarses: List[Tensor],
                        centers: List[Tensor],
                        batch_img_metas: List[dict],
                        cfg: OptConfigType = None,
                        rescale: bool = False,
                        with_nms: bool = True) -> InstanceList:
        """Detect as FCOS does; keep what the mask head needs.

        Args:
            cls_scores: See ``forward``.
            bbox_preds: Likewise, in pixels.
            centernesses: Likewise.
            coarses: Likewise.
            centers: Likewise.
            batch_img_metas: ``img_shape`` of each image, and
                ``scale_factor`` with ``rescale``.
            cfg: Test configuration; the head's own if None.
            rescale: Return boxes in pixels of the original image.
            with_nms: Suppress duplicates.

        Returns:
            For each image ``bboxes``, ``scores`` and ``labels``, with
            ``levels`` (n,) and ``centers`` (n, 2), the regressed centre of
            mass in input pixels; ``cues``, the level's predictions, is meta
            information.
        """
        cfg = self.test_cfg if cfg is None else cfg
        sizes = [tuple(scores.shape[-2:]) for scores in cls_scores]
        points = self.prior_generator.grid_priors(
            sizes, dtype=torch.float32, device=cls_scores[0].device)
        results = []
        for i, meta in enumerate(batch_img_metas):
            levels = [
                self._candidates_of_level(level, points[level], cfg, *maps)
                for level, maps in enumerate(
                    zip(*[[m[i].detach() for m in kind] for kind in (
                        cls_scores, bbox_preds, centernesses, centers)]))
            ]
            found = InstanceData.cat(levels)
            found.bboxes = self.bbox_coder.decode(
                found.pop('points'),
                found.pop('distances'),
                max_shape=meta['img_shape'])
            found = self._bbox_post_process(
                found, cfg, rescale=rescale, with_nms=with_nms, img_meta=meta)
            found.set_metainfo(
                dict(
                    cues=self.level_cues([m.detach() for m in coarses],
                                         [m.detach() for m in centers], i)))
            results.append(found)
        return results

    def _candidates_of_level(self, level: int, points: Tensor, cfg: Any,
                             scores: Tensor, distances: Tensor,
                             centerness: Tensor,
                             centers: Tensor) -> InstanceData:
        """Return the locations of one level that pass the score threshold."""
        data = dict(
            points=points,
            distances=distances.flatten(1).T,
            score_factors=centerness.flatten().sigmoid(),
            centers=points + centers.flatten(1).T * self.strides[level])
        scores, labels, _, kept = filter_scores_and_topk(
            scores.flatten(1).T.sigmoid(), cfg.get('score_thr', 0),
            cfg.get('nms_pre', -1), data)
        return InstanceData(
            scores=scores,
            labels=labels,
            levels=torch.full_like(labels, level),
            **kept)
