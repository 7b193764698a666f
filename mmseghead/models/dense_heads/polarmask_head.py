"""PolarMask: instances as rays from a point to their contour.

Legend: B images, K instances of a batch, L levels, P locations of all levels,
M positive locations, N predicted instances, C classes, n rays, h/w of a
level's map. Contour points are pixel indices.
"""
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmcv.cnn import ConvModule, Scale
from mmcv.ops import batched_nms
from mmdet.models.dense_heads.anchor_free_head import AnchorFreeHead
from mmdet.models.utils import multi_apply
from mmdet.utils import (ConfigType, InstanceList, OptConfigType,
                         OptInstanceList, reduce_mean)
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmseghead.functional.contours import (fill_contours, pad_contours,
                                           trace_contour)
from mmseghead.functional.mask_labels import masks_to_tensor
from mmseghead.functional.polar import (Contours, PolarGrid, PolarObjects,
                                        assign_locations, join_contours,
                                        polar_centerness, unpad_contours)
from mmseghead.registry import MODELS, TASK_UTILS

_SIGMOID_CE = dict(
    type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0)


class PolarTargets(NamedTuple):
    """What the locations of a batch learn.

    Attributes:
        labels: (B * P,) class, or C for background.
        positives: (M,) positions in the B * P locations, ascending.
        distances: (M, 4) to the left, top, right and bottom of the box.
        rays: (M, n) pixels.
        centerness: (M,) polar centerness in [0, 1].
    """

    labels: Tensor
    positives: Tensor
    distances: Tensor
    rays: Tensor
    centerness: Tensor


class Candidates(NamedTuple):
    """Locations of one image that may become instances; Q of them.

    Attributes:
        probs: (Q, C) of the classes.
        centerness: (Q,) probability.
        points: (Q, 2) x, y.
        distances: (Q, 4) to the box's sides in pixels; (Q, 0) without a box
            branch.
        rays: (Q, n) pixels.
    """

    probs: Tensor
    centerness: Tensor
    points: Tensor
    distances: Tensor
    rays: Tensor


@MODELS.register_module()
class PolarMaskHead(AnchorFreeHead):
    """PolarMask's head.

    Towers of classes, of boxes (optional) and of rays run side by side on
    each level; the polar centerness is read from the tower of classes. It is
    the ``bbox_head`` of a ``SingleStageDetector`` and predicts masks.

    Ground truth needs ``masks``; contours are taken from
    ``GeneratePolarContours`` if the pipeline has it, else traced here.

    Source: PolarMask, arXiv:1909.13226; xieenze/PolarMask.

    Args:
        *args: As for ``mmdet.AnchorFreeHead``.
        regress_ranges: Smallest and largest reach of each level, inclusive.
        center_sample_radius: Positives lie within that many strides of the
            mass centre along each axis.
        polar_coder: Coder of the rays.
        with_box_branch: Whether boxes are predicted as well.
        mask_nms: Whether NMS compares the boxes around the contours; None:
            if there is no box branch.
        stride_scaled: Whether exp(output) is in strides of the level instead
            of pixels. Not in the paper.
        score_bias: Score = class * (centerness + bias).
        legacy_v1: Reproduce the reference: boxes and overlaps with inclusive
            ends, the class loss divided by positives plus images, means of
            this process only, contours truncated to whole pixels (instead of
            rounded), scores up to 1 + ``score_bias`` (instead of scaled to
            1), rays of length 0 where a location lies on the contour.
            Predicted boxes have exclusive ends in both cases.
        loss_mask: Loss of the rays.
        loss_centerness: Loss of the polar centerness.
        **kwargs: As for ``mmdet.AnchorFreeHead``.

    Raises:
        ValueError: if ranges and strides differ in number, a stride is odd,
            or NMS is to use boxes that are not predicted.
    """

    def __init__(self,
                 *args,
                 regress_ranges: Sequence[Tuple[float, float]] = (
                     (-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8)),
                 center_sample_radius: float = 1.5,
                 polar_coder: ConfigType = dict(type='mmseghead.PolarCoder'),
                 with_box_branch: bool = True,
                 mask_nms: Optional[bool] = None,
                 stride_scaled: bool = False,
                 score_bias: float = 0.5,
                 legacy_v1: bool = False,
                 loss_mask: ConfigType = dict(type='mmseghead.PolarIoULoss'),
                 loss_centerness: ConfigType = _SIGMOID_CE,
                 **kwargs) -> None:
        self.regress_ranges = regress_ranges
        self.center_sample_radius = center_sample_radius
        # `polar_coder` first: its number of rays sizes the layers.
        self.polar_coder = TASK_UTILS.build(polar_coder)
        self.with_box_branch = with_box_branch
        self.mask_nms = not with_box_branch if mask_nms is None else mask_nms
        self.stride_scaled = stride_scaled
        self.score_bias = score_bias
        self.legacy_v1 = legacy_v1
        if not (self.mask_nms or with_box_branch):
            raise ValueError('`mask_nms` of PolarMaskHead must be true '
                             'without a box branch, got False.')
        super().__init__(*args, **kwargs)
        if len(regress_ranges) != len(self.strides):
            raise ValueError(
                '`regress_ranges` of PolarMaskHead must be one for each of '
                f'the {len(self.strides)} strides, got {regress_ranges}.')
        if any(stride % 2 for stride in self.strides):
            raise ValueError('`strides` of PolarMaskHead must be even, got '
                             f'{self.strides}.')
        self.loss_mask = MODELS.build(loss_mask)
        self.loss_centerness = MODELS.build(loss_centerness)

    def _init_layers(self) -> None:
        """Build towers and predictors."""
        self.cls_convs = self._tower()
        self.mask_convs = self._tower()
        self.conv_cls = self._predictor(self.cls_out_channels)
        self.conv_centerness = self._predictor(1)
        self.conv_mask = self._predictor(self.polar_coder.num_rays)
        self.mask_scales = nn.ModuleList(Scale(1.0) for _ in self.strides)
        if self.with_box_branch:
            self.reg_convs = self._tower()
            self.conv_reg = self._predictor(4)
            self.scales = nn.ModuleList(Scale(1.0) for _ in self.strides)

    def _tower(self) -> nn.Sequential:
        widths = [self.in_channels] + [self.feat_channels] * self.stacked_convs
        return nn.Sequential(*[
            ConvModule(
                before,
                after,
                3,
                padding=1,
                conv_cfg=dict(type='DCNv2') if self.dcn_on_last_conv
                and i + 1 == self.stacked_convs else self.conv_cfg,
                norm_cfg=self.norm_cfg,
                bias=self.conv_bias)
            for i, (before, after) in enumerate(zip(widths, widths[1:]))
        ])

    def _predictor(self, channels: int) -> nn.Conv2d:
        return nn.Conv2d(self.feat_channels, channels, 3, padding=1)

    def forward(self, x: Sequence[Tensor]) -> Tuple[List[Tensor], ...]:
        """Predict on all levels.

        Args:
            x: L maps (B, channels, h, w).

        Returns:
            Per level (B, C, h, w) class logits, (B, 4, h, w) distances to the
            box's sides in pixels ((B, 0, h, w) without a box branch),
            (B, 1, h, w) centerness logits and (B, n, h, w) rays in pixels.
        """
        return multi_apply(self.forward_single, x, range(len(x)))

    def forward_single(self, x: Tensor, level: int) -> Tuple[Tensor, ...]:
        """Predict on one level, see ``forward``."""
        cls_feat = self.cls_convs(x)
        rays = self._lengths(
            self.mask_scales[level](self.conv_mask(self.mask_convs(x))), level)
        distances = rays[:, :0]
        if self.with_box_branch:
            distances = self._lengths(
                self.scales[level](self.conv_reg(self.reg_convs(x))), level)
        return (self.conv_cls(cls_feat), distances,
                self.conv_centerness(cls_feat), rays)

    def _lengths(self, logits: Tensor, level: int) -> Tensor:
        """Turn outputs into pixels; half precision would overflow."""
        unit = self.strides[level] if self.stride_scaled else 1
        return logits.float().exp() * unit

    def loss_by_feat(
            self,
            cls_scores: List[Tensor],
            bbox_preds: List[Tensor],
            centernesses: List[Tensor],
            mask_preds: List[Tensor],
            batch_gt_instances: InstanceList,
            batch_img_metas: List[dict],
            batch_gt_instances_ignore: OptInstanceList = None
    ) -> Dict[str, Tensor]:
        """Compute the losses.

        Args:
            cls_scores: Per level (B, C, h, w) logits.
            bbox_preds: Per level (B, 4 or 0, h, w) pixels.
            centernesses: Per level (B, 1, h, w) logits.
            mask_preds: Per level (B, n, h, w) pixels.
            batch_gt_instances: ``bboxes``, ``labels``, and ``masks`` or
                contours of each image.
            batch_img_metas: Of each image.
            batch_gt_instances_ignore: Not used, as in the reference.

        Returns:
            ``loss_cls``, ``loss_mask``, ``loss_centerness`` and, with a box
            branch, ``loss_bbox``. Without positives the last three are zeros
            connected to the predictions.
        """
        grid = self._grid(cls_scores)
        targets = self.get_targets(grid, batch_gt_instances, batch_img_metas)
        scores = _by_location(cls_scores).flatten(0, 1)  # (B * P, C)
        number, total = self._divisors(targets)
        images = len(batch_gt_instances) if self.legacy_v1 else 0
        positives, weight = targets.positives, targets.centerness
        losses = dict(
            loss_cls=self.loss_cls(
                scores, targets.labels, avg_factor=max(number + images, 1.)))
        rays = _by_location(mask_preds).flatten(0, 1)[positives]
        losses['loss_mask'] = self.loss_mask(
            rays, targets.rays, weight=weight, avg_factor=total)
        centerness = _by_location(centernesses).flatten()[positives]
        if len(positives) == 0:
            losses['loss_centerness'] = centerness.sum() * 0
        else:
            losses['loss_centerness'] = self.loss_centerness(
                centerness.float(), weight, avg_factor=max(number, 1.))
        if self.with_box_branch:
            distances = _by_location(bbox_preds).flatten(0, 1)[positives]
            losses['loss_bbox'] = self._box_loss(distances, targets, total)
        return losses

    def _divisors(self, targets: PolarTargets) -> Tuple[float, float]:
        """Return the number of positives and the sum of their weights."""
        weight = targets.centerness
        pair = torch.stack(
            (weight.new_tensor(float(len(weight))), weight.sum()))
        number, total = (pair if self.legacy_v1 else reduce_mean(pair)).tolist()
        return number, max(total, self.polar_coder.eps)

    def _box_loss(self, distances: Tensor, targets: PolarTargets,
                  total: float) -> Tensor:
        if len(distances) == 0:
            return distances.sum() * 0
        # Boxes around the origin: IoU does not depend on the place.
        origin = distances.new_zeros(len(distances), 2)
        pred = self.bbox_coder.decode(origin, distances)
        target = self.bbox_coder.decode(origin, targets.distances)
        if self.legacy_v1:  # inclusive ends: a pixel more
            end = pred.new_tensor([0, 0, 1, 1])
            pred, target = pred + end, target + end
        return self.loss_bbox(
            pred, target, weight=targets.centerness, avg_factor=total)

    def _grid(self, maps: Sequence[Tensor]) -> PolarGrid:
        sizes = [tuple(level.shape[-2:]) for level in maps]
        return PolarGrid(sizes, self.strides, self.regress_ranges)

    @torch.no_grad()
    def get_targets(self, grid: PolarGrid, batch_gt_instances: InstanceList,
                    batch_img_metas: List[dict]) -> PolarTargets:
        """Compute what each location learns, for all images at once.

        Args:
            grid: Locations of an image.
            batch_gt_instances: Ground truth of each image.
            batch_img_metas: Of each image; read with ``legacy_v1`` only.

        Returns:
            The targets. Instances without a pixel are left out.
        """
        boxes = torch.cat([
            self._boxes(instances.bboxes.float(), meta)
            for instances, meta in zip(batch_gt_instances, batch_img_metas)
        ])
        contours, centers = _batch_contours(
            batch_gt_instances, boxes.device, self.legacy_v1)
        # No location is inside of a box of nothing.
        boxes = boxes.where((contours.offsets.diff() > 0)[:, None], 0.)
        images = torch.arange(len(batch_gt_instances), device=boxes.device)
        counts = [len(instances) for instances in batch_gt_instances]
        images = images.repeat_interleave(images.new_tensor(counts))
        sides = boxes[:, 2:] - boxes[:, :2] + int(self.legacy_v1)
        positives, gt_inds = assign_locations(
            grid, PolarObjects(boxes, centers, sides.prod(1), images),
            len(counts), self.center_sample_radius)
        points = grid.points(boxes.device)
        labels = torch.full((len(counts) * len(points), ),
                            self.num_classes,
                            device=boxes.device)
        points = points[positives % len(points)]
        labels[positives] = torch.cat(
            [instances.labels for instances in batch_gt_instances])[gt_inds]
        rays = self.polar_coder.encode(
            points, contours, gt_inds, clamp=not self.legacy_v1)
        distances = torch.cat((points - boxes[gt_inds, :2],
                               boxes[gt_inds, 2:] - points), 1)
        return PolarTargets(labels, positives, distances, rays,
                            polar_centerness(rays))

    def _boxes(self, boxes: Tensor, meta: dict) -> Tensor:
        """Turn ground truth boxes into the reference's, if so wished.

        There a box ends in its last pixel before it is resized and flipped.
        """
        if not self.legacy_v1:
            return boxes
        scale = boxes.new_tensor(meta.get('scale_factor', (1., 1.))[:2])
        direction = meta.get('flip_direction') or ''
        flipped = boxes.new_tensor([
            direction in ('horizontal', 'diagonal'),
            direction in ('vertical', 'diagonal')
        ], dtype=torch.bool) & bool(meta.get('flip'))
        low = boxes[:, :2] + (scale - 1).where(flipped, 0.)
        high = boxes[:, 2:] - scale.where(~flipped, 1.)
        height, width = meta['img_shape'][:2]
        limit = boxes.new_tensor([width - 1, height - 1])
        return torch.cat((low, high), 1).view(-1, 2, 2).clamp(
            min=0).minimum(limit).flatten(1)

    def predict_by_feat(self,
                        cls_scores: List[Tensor],
                        bbox_preds: List[Tensor],
                        centernesses: List[Tensor],
                        mask_preds: List[Tensor],
                        batch_img_metas: List[dict],
                        cfg: OptConfigType = None,
                        rescale: bool = False) -> InstanceList:
        """Turn a batch's outputs into instances.

        Args:
            cls_scores: Per level (B, C, h, w) logits.
            bbox_preds: Per level (B, 4 or 0, h, w) pixels.
            centernesses: Per level (B, 1, h, w) logits.
            mask_preds: Per level (B, n, h, w) pixels.
            batch_img_metas: Of each image.
            cfg: Used in place of ``test_cfg``.
            rescale: Whether results are in the original image's pixels.

        Returns:
            Per image ``bboxes`` (N, 4), ``scores`` (N,), ``labels`` (N,),
            ``masks`` (N, H, W) bool, ``contours`` (N, 2, n) and ``centers``
            (N, 2), by falling score.
        """
        cfg = self.test_cfg if cfg is None else cfg
        grid = self._grid(cls_scores)
        points = grid.points(cls_scores[0].device).float()
        points = points.split([h * w for h, w in grid.sizes])
        maps = [cls_scores, centernesses, bbox_preds, mask_preds]
        results = []
        for i, meta in enumerate(batch_img_metas):
            levels = [[level[i:i + 1] for level in part] for part in maps]
            found = self._candidates(*levels, points, cfg.get('nms_pre', -1))
            results.append(
                self._predict_by_feat_single(found, meta, cfg, rescale))
        return results

    def _candidates(self, cls_scores: List[Tensor], centernesses: List[Tensor],
                    bbox_preds: List[Tensor], mask_preds: List[Tensor],
                    points: Sequence[Tensor], nms_pre: int) -> Candidates:
        """Keep the best locations of each level of one image."""
        parts = []
        for scores, centerness, distances, rays, point in zip(
                cls_scores, centernesses, bbox_preds, mask_preds, points):
            probs = _by_location([scores])[0].float().sigmoid()
            centerness = centerness.float().flatten().sigmoid()
            level = Candidates(probs, centerness, point,
                               _by_location([distances])[0],
                               _by_location([rays])[0])
            if 0 < nms_pre < len(probs):
                # Without the bias: it is the reference's order here.
                best = (probs * centerness[:, None]).max(1).values
                top = best.topk(nms_pre).indices
                level = Candidates(*[value[top] for value in level])
            parts.append(level)
        return Candidates(*map(torch.cat, zip(*parts)))

    def _predict_by_feat_single(self, found: Candidates, meta: dict,
                                cfg: ConfigType,
                                rescale: bool) -> InstanceData:
        """Select, suppress and draw the instances of one image."""
        rows, labels = (found.probs > cfg.score_thr).nonzero().unbind(1)
        scores = self.ranking_scores(found.probs[rows, labels],
                                     found.centerness[rows])
        boxes = self._predicted_boxes(found, meta, rescale)[rows]
        kept = self._suppress(boxes, scores, labels, cfg)
        rows = rows[kept]
        contours = self._contours(found.points[rows], found.rays[rows], meta,
                                  rescale)
        boxes = boxes[kept]
        if self.legacy_v1:
            boxes = boxes + boxes.new_tensor([0, 0, 1, 1])
        else:
            scores = scores / (1 + self.score_bias)
        shape = meta['ori_shape' if rescale else 'img_shape'][:2]
        pixels = contours.trunc() if self.legacy_v1 else contours.round()
        centers = found.points[rows][:, :, None]
        return InstanceData(
            bboxes=boxes,
            scores=scores[kept],
            labels=labels[kept],
            masks=fill_contours(pixels, shape),
            contours=contours,
            centers=self._rescaled(centers, meta, rescale)[:, :, 0])

    def ranking_scores(self, probs: Tensor, centerness: Tensor) -> Tensor:
        """Return class probability * (centerness + bias), elementwise.

        Polar centerness is lower than that of boxes: the bias compensates.
        """
        return probs * (centerness + self.score_bias)

    def _contours(self, points: Tensor, rays: Tensor, meta: dict,
                  rescale: bool) -> Tensor:
        """Return the (N, 2, n) contour points of the rays."""
        contours = self.polar_coder.decode(points, rays, meta['img_shape'][:2])
        return self._rescaled(contours, meta, rescale)

    def _rescaled(self, positions: Tensor, meta: dict,
                  rescale: bool) -> Tensor:
        """Turn (N, 2, n) pixel indices into those of the original image."""
        if not rescale:
            return positions
        scale = positions.new_tensor(meta['scale_factor'][:2])[:, None]
        if self.legacy_v1:
            return positions / scale
        return (positions + 0.5) / scale - 0.5

    def _predicted_boxes(self, found: Candidates, meta: dict,
                         rescale: bool) -> Tensor:
        """Return the (Q, 4) boxes that NMS compares."""
        if self.mask_nms:
            low, high = self._contours(found.points, found.rays, meta,
                                       rescale).aminmax(dim=2)
            if self.legacy_v1:
                return torch.cat((low, high), 1)
            # From the first pixel's outer edge to the last one's.
            scale = low.new_tensor(meta['scale_factor'][:2] if rescale else
                                   (1., 1.))
            return torch.cat((low + 0.5 - 0.5 / scale,
                              high + 0.5 + 0.5 / scale), 1)
        height, width = meta['img_shape'][:2]
        if self.legacy_v1:
            height, width = height - 1, width - 1
        boxes = self.bbox_coder.decode(
            found.points, found.distances, max_shape=(height, width))
        if rescale:
            boxes = boxes / boxes.new_tensor(meta['scale_factor'][:2]).repeat(2)
        return boxes

    def _suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor,
                  cfg: ConfigType) -> Tensor:
        """Return the rows that NMS within classes keeps, by score."""
        nms = dict(cfg.nms)
        if len(boxes) == 0:
            return labels
        if not self.legacy_v1:
            _, kept = batched_nms(boxes, scores, labels, nms)
            return kept[:cfg.max_per_img]
        # Class by class: shifting the boxes apart would round them.
        parts = []
        for label in labels.unique():
            rows = (labels == label).nonzero()[:, 0]
            _, own = batched_nms(boxes[rows], scores[rows], labels[rows],
                                 dict(nms, offset=1), class_agnostic=True)
            parts.append(rows[own])
        kept = torch.cat(parts)
        order = scores[kept].argsort(descending=True, stable=True)
        return kept[order[:cfg.max_per_img]]


def _batch_contours(batch_gt_instances: InstanceList, device: torch.device,
                    legacy_v1: bool) -> Tuple[Contours, Tensor]:
    """Return the contours of a batch and their (K, 2) mass centres."""
    parts, lengths, centers = [], [], []
    for instances in batch_gt_instances:
        if 'contours' not in instances:
            masks = masks_to_tensor(instances.masks, torch.device('cpu'))
            traced = pad_contours(
                map(trace_contour, masks.numpy()), legacy_v1)
            padded, length, center = map(torch.from_numpy, traced)
        else:
            padded, length, center = (instances.contours,
                                      instances.contour_lengths,
                                      instances.mass_centers)
        length = length.to(device)
        parts.append(unpad_contours(padded.to(device), length).vertices)
        lengths.append(length)
        centers.append(center.to(device))
    vertices = join_contours(parts).vertices
    lengths = torch.cat([lengths[0].new_zeros(1), *lengths])
    return Contours(vertices, lengths.cumsum(0)), torch.cat(centers)


def _by_location(maps: Sequence[Tensor]) -> Tensor:
    """Turn per-level (B, channels, h, w) maps into (B, P, channels)."""
    return torch.cat([level.flatten(2).transpose(1, 2) for level in maps], 1)
