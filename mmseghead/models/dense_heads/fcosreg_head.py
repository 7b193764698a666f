"""FCOSreg: FCOS whose box regression is regularised by masks.

Legend: B images, n instances of an image, N locations of all levels, C
classes, h/w of a level's map.
"""
from typing import Dict, List, NamedTuple, Sequence, Tuple

import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.utils import InstanceList, OptInstanceList, reduce_mean
from mmengine.structures import InstanceData
from torch import Tensor

from mmseghead.functional.mask_labels import masks_to_tensor, soft_mask_labels
from mmseghead.registry import MODELS

_INF = float('inf')


class ImageTargets(NamedTuple):
    """What the locations of one image learn; N locations, fine to coarse."""

    labels: Tensor  #: (N,) class, or C for background
    distances: Tensor  #: (N, 4) left, top, right, bottom, pixels
    seg: Tensor  #: (N,) mask label of the instance, 0 for background
    instances: Tensor  #: (N,) index of the instance, -1 for background
    seg_maps: List[Tensor]  #: per level (n, h, w), mask labels of instances


@MODELS.register_module()
class FCOSRegHead(FCOSHead):
    """FCOS's head, trained with mask labels; its predictions have no masks.

    Differs from ``mmdet.FCOSHead`` in training only. The mask label of an
    instance at a location is the share of the location's cell that its mask
    covers. A location inside several boxes learns the instance of the
    largest label, not of the smallest box. The weight of the box loss and
    target of the centerness branch is

        a * centerness + b * label + c * sqrt(centerness * label).

    Source: FCOSIS, section 3.3. The paper leaves open that the centerness
    branch learns the same number, and that equal labels go to the smallest
    box.

    Args:
        reg_weights: a, b and c, at least 0 each, with a sum of 1.
        *args: As for ``mmdet.FCOSHead``.
        **kwargs: Likewise.

    Raises:
        ValueError: if ``reg_weights`` are not as stated.
    """

    def __init__(self,
                 *args,
                 reg_weights: Tuple[float, float, float] = (1 / 3, ) * 3,
                 **kwargs) -> None:
        if (len(reg_weights) != 3 or min(reg_weights) < 0
                or abs(sum(reg_weights) - 1) > 1e-6):
            raise ValueError(
                f'`reg_weights` of {type(self).__name__} must be three '
                f'numbers >= 0 with a sum of 1, got {tuple(reg_weights)}.')
        super().__init__(*args, **kwargs)
        self.reg_weights = tuple(reg_weights)

    def regulariser(self, centerness: Tensor, seg: Tensor) -> Tensor:
        """Return a * ctr + b * seg + c * sqrt(ctr * seg), elementwise."""
        a, b, c = self.reg_weights
        return a * centerness + b * seg + c * (centerness * seg).sqrt()

    def loss_by_feat(
            self,
            cls_scores: List[Tensor],
            bbox_preds: List[Tensor],
            centernesses: List[Tensor],
            batch_gt_instances: InstanceList,
            batch_img_metas: List[dict],
            batch_gt_instances_ignore: OptInstanceList = None
    ) -> Dict[str, Tensor]:
        """Compute the losses of classes, boxes and centerness.

        Args:
            cls_scores: Per level (B, C, h, w) logits.
            bbox_preds: Per level (B, 4, h, w) distances, in strides with
                ``norm_on_bbox``, else in pixels.
            centernesses: Per level (B, 1, h, w) logits.
            batch_gt_instances: ``bboxes``, ``labels`` and ``masks`` of each
                image.
            batch_img_metas: Not used.
            batch_gt_instances_ignore: Not used, as in FCOS.

        Returns:
            ``loss_cls``, ``loss_bbox`` and ``loss_centerness``.
        """
        sizes = [tuple(scores.shape[-2:]) for scores in cls_scores]
        targets = self.image_targets(sizes, batch_gt_instances,
                                     cls_scores[0].device)
        return self.detection_losses(cls_scores, bbox_preds, centernesses,
                                     targets)

    def detection_losses(self, cls_scores: List[Tensor],
                         bbox_preds: List[Tensor],
                         centernesses: List[Tensor],
                         targets: Sequence[ImageTargets]) -> Dict[str, Tensor]:
        """Compute FCOS's losses against ready targets, one per image.

        Sums over positives are divided by their mean number (of boxes: by
        the mean sum of weights) over all processes; no positives give zeros
        that are connected to the predictions.
        """
        scores = by_location(cls_scores)  # (B * N, C)
        scales = [stride if self.norm_on_bbox else 1 for stride in self.strides]
        # In pixels, and in float32 where IoUs are computed.
        distances = by_location(
            [pred.float() * s for pred, s in zip(bbox_preds, scales)])
        centerness = by_location(centernesses).flatten()
        labels = torch.cat([image.labels for image in targets])
        positive = (labels < self.num_classes).nonzero().flatten()
        number = scores.new_tensor(float(len(positive)), dtype=torch.float32)
        number = reduce_mean(number).clamp(min=1).item()
        losses = dict(
            loss_cls=self.loss_cls(scores, labels, avg_factor=number))
        wanted = torch.cat([image.distances for image in targets])[positive]
        seg = torch.cat([image.seg for image in targets])[positive]
        weights = self.regulariser(self.centerness_target(wanted), seg)
        total = reduce_mean(weights.sum()).clamp(min=1e-6).item()
        if len(positive) == 0:
            losses['loss_bbox'] = distances.sum() * 0
            losses['loss_centerness'] = centerness.sum() * 0
            return losses
        # Boxes around the origin: IoU does not depend on the place.
        origin = wanted.new_zeros(len(wanted), 2)
        losses['loss_bbox'] = self.loss_bbox(
            self.bbox_coder.decode(origin, distances[positive]),
            self.bbox_coder.decode(origin, wanted),
            weight=weights,
            avg_factor=total)
        losses['loss_centerness'] = self.loss_centerness(
            centerness[positive], weights, avg_factor=number)
        return losses

    @torch.no_grad()
    def image_targets(self, sizes: Sequence[Tuple[int, int]],
                      batch_gt_instances: InstanceList,
                      device: torch.device) -> List[ImageTargets]:
        """Compute what each location learns.

        Args:
            sizes: (h, w) of each level.
            batch_gt_instances: Ground truth of each image, with masks.
            device: Where the targets go.

        Returns:
            The targets of each image.
        """
        levels = self.prior_generator.grid_priors(sizes, device=device)
        return [
            self._targets_of_image(instances, sizes, levels)
            for instances in batch_gt_instances
        ]

    def _targets_of_image(self, instances: InstanceData,
                          sizes: Sequence[Tuple[int, int]],
                          levels: Sequence[Tensor]) -> ImageTargets:
        points = torch.cat(list(levels))  # (N, 2)
        if len(instances) == 0:
            nothing = points.new_zeros(len(points))
            return ImageTargets(
                torch.full_like(nothing, self.num_classes, dtype=torch.long),
                points.new_zeros(len(points), 4), nothing,
                torch.full_like(nothing, -1, dtype=torch.long),
                [points.new_zeros(0, *size) for size in sizes])
        boxes = instances.bboxes.float()
        masks = masks_to_tensor(instances.masks, points.device)
        strides = [stride for stride, _ in self.prior_generator.strides]
        maps = soft_mask_labels(masks, strides, sizes)
        seg = torch.cat([level.flatten(1) for level in maps], 1).T  # (N, n)
        distances = torch.cat((points[:, None] - boxes[None, :, :2],
                               boxes[None, :, 2:] - points[:, None]), 2)
        candidate = self._candidates(points, boxes, distances, levels)
        best = seg.where(candidate, -1).max(1, keepdim=True).values
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        area, chosen = areas.expand_as(seg).where(
            candidate & (seg == best), _INF).min(1)
        found = area < _INF
        rows = torch.arange(len(points), device=points.device)
        return ImageTargets(
            instances.labels[chosen].where(found, self.num_classes),
            distances[rows, chosen], seg[rows, chosen].where(found, 0),
            chosen.where(found, -1), maps)

    def _candidates(self, points: Tensor, boxes: Tensor, distances: Tensor,
                    levels: Sequence[Tensor]) -> Tensor:
        """Return (N, n) bool: the instance may be learned at the location."""
        counts = torch.tensor([len(level) for level in levels])
        counts = counts.to(points.device)
        ranges = points.new_tensor(self.regress_ranges)
        ranges = ranges.repeat_interleave(counts, 0)  # (N, 2)
        reach = distances.max(2).values
        in_range = (reach >= ranges[:, :1]) & (reach <= ranges[:, 1:])
        inside = distances.min(2).values > 0
        if self.center_sampling:
            strides = points.new_tensor(self.strides).repeat_interleave(counts)
            centers = (boxes[:, :2] + boxes[:, 2:]) / 2
            away = (points[:, None] - centers).abs().max(2).values
            inside &= away < self.center_sample_radius * strides[:, None]
        return inside & in_range


def by_location(maps: Sequence[Tensor]) -> Tensor:
    """Turn per-level (B, K, h, w) maps into (B * N, K), image by image."""
    flat = [level.flatten(2).transpose(1, 2) for level in maps]
    return torch.cat(flat, 1).flatten(0, 1)
