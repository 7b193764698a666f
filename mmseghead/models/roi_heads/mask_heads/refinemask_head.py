"""RefineMask's mask heads: four stages, each twice as fine.

Legend: N RoIs, B images, C channels, S side of a stage's map, h/w of the
semantic map, K classes.

Source: RefineMask, arXiv:2104.08569, and the code published with it.
"""
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.utils import InstanceList
from mmengine.config import ConfigDict
from mmengine.model import (BaseModule, ModuleList, Sequential, kaiming_init,
                            normal_init)
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmseghead.functional.boundary import (mask_boundaries, read_cells,
                                           refine_in_band, refine_stages,
                                           upsample_band, upsample_logits)
from mmseghead.functional.box_masks import paste_masks
from mmseghead.functional.mask_targets import (pooled_mask_targets,
                                               resized_mask_targets,
                                               union_mask_targets)
from mmseghead.functional.sparse_grid import SparseGrid, scatter_active
from mmseghead.models.layers.semantic_fusion import class_logits
from mmseghead.registry import MODELS

TARGET_MODES = dict(pooled=pooled_mask_targets, resized=resized_mask_targets)


class SemanticMaps(NamedTuple):
    """What a head computes once per batch, from the finest FPN map.

    Attributes:
        stages: A map (B, C, h, w) for each stage.
        logits: (B, 1, h, w) of "this is an object", or None.
    """
    stages: List[Tensor]
    logits: Optional[Tensor]


@MODELS.register_module()
class RefineMaskHead(BaseModule):
    """The original RefineMask head, with semantic supervision.

    Args:
        num_classes: K.
        in_channels: Channels of RoI features and of the finest FPN map.
        feat_channels: C of the first stage; halved by each stage.
        num_instance_convs: Layers on RoI features.
        num_semantic_convs: Layers on the finest FPN map.
        semantic_channels: Channels of those layers.
        agnostic_stages: Stages, from 0, that predict one mask for all
            classes.
        roi_size: S of the first stage.
        semantic_stride: Pixels per cell of the finest FPN map.
        stage: Config of the stages; sizes and channels are filled in.
        start_stage: The first stage of the result, and the last one that
            learns everywhere.
        fuse_width: Width of the boundaries near which a later stage is taken,
            in cells of the stage before.
        target_mode: 'pooled' cuts targets out once, at the finest size;
            'resized' at each size, as the source does.
        loss_mask: Loss of all stages' logits and targets; ``start_stage`` and
            ``fuse_width`` are filled in.
        loss_semantic: Loss of semantic logits and targets.
        logits_std: Standard deviation of the weights of all layers that
            predict masks, at the start; None: Kaiming's, as in the source,
            whose logits are the larger the fewer the classes.
        sparse_last_stage: In a test, compute the last refinement only near
            the boundary on which its logits are taken; masks stay the same.
            Not in the paper.
        init_cfg: Initialisation.

    Raises:
        ValueError: if ``target_mode`` or a stage does not exist, or the last
            stage is to be sparse but is taken everywhere.
    """

    #: Refinements; the last prediction follows them.
    num_refinements = 3
    with_semantic_loss = True

    def __init__(self,
                 num_classes: int = 80,
                 in_channels: int = 256,
                 feat_channels: int = 256,
                 *,
                 num_instance_convs: int = 2,
                 num_semantic_convs: int = 4,
                 semantic_channels: int = 256,
                 agnostic_stages: Sequence[int] = (),
                 roi_size: int = 14,
                 semantic_stride: int = 4,
                 stage: dict = dict(type='mmseghead.SemanticFusionStage'),
                 start_stage: int = 1,
                 fuse_width: int = 1,
                 target_mode: str = 'pooled',
                 loss_mask: dict = dict(
                     type='mmseghead.BoundaryRefinementLoss'),
                 loss_semantic: Optional[dict] = dict(
                     type='mmdet.CrossEntropyLoss', use_sigmoid=True),
                 logits_std: Optional[float] = None,
                 sparse_last_stage: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self._check(target_mode, agnostic_stages,
                    sparse_last_stage and start_stage)
        self.sparse_last_stage = sparse_last_stage
        self.logits_std = logits_std
        self.num_classes = num_classes
        self.semantic_stride = semantic_stride
        self.start_stage = start_stage
        self.fuse_width = fuse_width
        self.target_mode = target_mode
        count = self.num_refinements
        self.stage_num_classes = tuple(
            1 if i in agnostic_stages else num_classes
            for i in range(count + 1))
        self.stage_sizes = tuple(roi_size * 2**i for i in range(count + 1))
        self.instance_convs = _convs(in_channels, feat_channels,
                                     num_instance_convs)
        self.semantic_convs = _convs(in_channels, semantic_channels,
                                     num_semantic_convs)
        self.stages = ModuleList(
            MODELS.build(
                dict(
                    stage,
                    in_channels=feat_channels // 2**i,
                    semantic_channels=semantic_channels,
                    num_classes=self.stage_num_classes[i],
                    size=self.stage_sizes[i],
                    stride=semantic_stride,
                    **self._stage_options(i))) for i in range(count))
        self.final = nn.Conv2d(feat_channels // 2**count,
                               self.stage_num_classes[-1], 1)
        self.loss_mask = MODELS.build(
            dict(loss_mask, start_stage=start_stage, fuse_width=fuse_width))
        self.semantic_predictor = None
        if self.with_semantic_loss:
            self.semantic_predictor = nn.Conv2d(semantic_channels, 1, 1)
            self.loss_semantic = MODELS.build(loss_semantic)

    def _check(self, target_mode: str, stages: Sequence[int],
               sparse_start: int) -> None:
        if target_mode not in TARGET_MODES:
            raise ValueError('`target_mode` of RefineMaskHead must be one of '
                             f'{sorted(TARGET_MODES)}, got {target_mode!r}.')
        if not set(stages) <= set(range(self.num_refinements + 1)):
            raise ValueError(
                '`agnostic_stages` of RefineMaskHead must be from 0 to '
                f'{self.num_refinements}, got {tuple(stages)}.')
        if sparse_start >= self.num_refinements:
            raise ValueError(
                '`start_stage` of RefineMaskHead must be less than '
                f'{self.num_refinements} with `sparse_last_stage`, got '
                f'{sparse_start}.')

    def _stage_options(self, index: int) -> dict:
        """Return further arguments of a stage."""
        return {}

    def init_weights(self) -> None:
        """Initialise; what predicts with ``logits_std`` if it is given."""
        super().init_weights()
        kaiming_init(self.final)
        predictors = [*(stage.predictor for stage in self.stages), self.final]
        if self.semantic_predictor is not None:
            kaiming_init(self.semantic_predictor)
            predictors.append(self.semantic_predictor)
        if self.logits_std is not None:
            for predictor in predictors:
                normal_init(predictor, std=self.logits_std)

    def semantic_maps(self, feat: Tensor) -> SemanticMaps:
        """Compute what does not depend on the RoIs, for the whole batch.

        Args:
            feat: (B, ``in_channels``, h, w), the finest FPN map.

        Returns:
            Maps for `refine`.
        """
        feat = self.semantic_convs(feat)
        logits = None
        if self.semantic_predictor is not None:
            logits = self.semantic_predictor(feat)
        return SemanticMaps(
            [stage.semantic_map(feat, logits) for stage in self.stages],
            logits)

    def refine(self, feats: Tensor, maps: SemanticMaps, rois: Tensor,
               labels: Tensor) -> List[Tensor]:
        """Predict the masks of RoIs at all stages.

        Args:
            feats: (N, ``in_channels``, S, S) RoI features; N may be 0.
            maps: What `semantic_maps` returned.
            rois: (N, 5) image and xyxy in pixels, in any order of images.
            labels: (N,) int64, the class of each RoI: only its mask is
                computed.

        Returns:
            Four logits (N, 1, S, S), each twice as large as the one before.
        """
        stage_logits = []
        feats = self.instance_convs(feats)
        for stage, semantic in zip(self.stages, maps.stages):
            logits, feats = stage(feats, semantic, rois, labels)
            stage_logits.append(logits)
        stage_logits.append(self._last_logits(feats, labels))
        return stage_logits

    def _last_logits(self, feats: Tensor, labels: Tensor) -> Tensor:
        """Return the finest logits."""
        return class_logits(self.final, feats, labels)

    def predict_logits(self, feats: Tensor, maps: SemanticMaps, rois: Tensor,
                       labels: Tensor) -> Tensor:
        """Predict the masks of a test, all stages joined.

        Args:
            feats: (N, ``in_channels``, S, S) RoI features; N may be 0.
            maps: What `semantic_maps` returned.
            rois: (N, 5) image and xyxy in pixels, in any order of images.
            labels: (N,) int64, the class of each RoI.

        Returns:
            (N, 1, 8 * S, 8 * S): `fused_logits` of `refine`.
        """
        if not self.sparse_last_stage:
            return self.fused_logits(self.refine(feats, maps, rois, labels))
        stage_logits = []
        feats = self.instance_convs(feats)
        for stage, semantic in zip(self.stages[:-1], maps.stages):
            logits, feats = stage(feats, semantic, rois, labels)
            stage_logits.append(logits)
        last = self.stages[-1]
        logits = class_logits(last.predictor, feats, labels)
        coarse = self.fused_logits([*stage_logits, logits])
        band = upsample_band(mask_boundaries(coarse >= 0, self.fuse_width))
        grid, masks = last.forward_at(feats, logits, maps.stages[-1], rois,
                                      read_cells(band)[:, 0])
        fine = self._sparse_last_logits(grid, masks, labels)
        return refine_in_band(coarse, fine.float(), self.fuse_width)

    def _sparse_last_logits(self, grid: SparseGrid, masks: Tensor,
                            labels: Tensor) -> Tensor:
        """Return the finest logits, of features known at some cells.

        Weights and upsampling are both linear: what enters the last layer is
        weighted first, and one channel is upsampled in place of all.
        """
        labels = labels.clamp(max=self.final.out_channels - 1)
        weight = self.final.weight[labels].flatten(1)  # (N, C)
        bias = self.final.bias[labels]
        split = weight.shape[1] - masks.shape[1]
        rows = (grid.active * weight[grid.roi_inds, :split]).sum(1)
        seen = scatter_active(torch.zeros_like(masks[:, :1]), grid, rows)
        known = (masks * weight[:, split:, None, None]).sum(1, True)
        return self._upsampled(seen, known + bias[:, None, None, None])

    def _upsampled(self, seen: Tensor, known: Tensor) -> Tensor:
        """Join parts (N, 1, S, S) of features and of masks, doubled."""
        if not len(seen):
            return upsample_logits(known)
        seen = F.interpolate(
            seen, scale_factor=2, mode='bilinear', align_corners=False)
        return seen + upsample_logits(known)

    def forward(self, feats: Tensor, semantic_feat: Tensor, rois: Tensor,
                labels: Tensor) -> Tuple[List[Tensor], Optional[Tensor]]:
        """Predict masks of RoIs and of the whole image.

        Args:
            feats: (N, ``in_channels``, S, S) RoI features.
            semantic_feat: (B, ``in_channels``, h, w), the finest FPN map.
            rois: (N, 5) in pixels.
            labels: (N,) int64.

        Returns:
            Four logits (N, 1, S, S), and (B, 1, h, w) semantic logits; None
            for a head without.
        """
        maps = self.semantic_maps(semantic_feat)
        return self.refine(feats, maps, rois, labels), maps.logits

    def get_targets(self, rois: Tensor, gt_inds: Tensor,
                    batch_gt_instances: InstanceList) -> List[Tensor]:
        """Cut the targets of all stages.

        Args:
            rois: (N, 5), in the order of the images.
            gt_inds: (N,) int64 object of each by its place in its image.
            batch_gt_instances: Ground truth with ``masks``.

        Returns:
            (N, S, S) float32 of 0 and 1 for each stage.
        """
        counts = torch.bincount(
            rois[:, 0].long(), minlength=len(batch_gt_instances)).tolist()
        return TARGET_MODES[self.target_mode](
            rois[:, 1:].split(counts), gt_inds.split(counts),
            [instances.masks for instances in batch_gt_instances],
            self.stage_sizes)

    def loss_and_target(self, stage_logits: List[Tensor],
                        semantic_logits: Optional[Tensor], rois: Tensor,
                        gt_inds: Tensor,
                        batch_gt_instances: InstanceList) -> dict:
        """Compute the losses of a batch.

        Args:
            stage_logits: What `refine` returned for the positive RoIs.
            semantic_logits: (B, 1, h, w), or None.
            rois: (N, 5), in the order of the images.
            gt_inds: (N,) int64 object of each by its place in its image.
            batch_gt_instances: Ground truth with ``masks``.

        Returns:
            ``loss_mask``: the losses, ``loss_mask`` and, with semantic
            logits, ``loss_semantic``, which also learns from images without
            objects; ``mask_targets``: what `get_targets` returned.
        """
        targets = self.get_targets(rois, gt_inds, batch_gt_instances)
        losses: Dict[str, Tensor] = dict(
            loss_mask=self.loss_mask(stage_logits, targets))
        if semantic_logits is not None:
            goal = union_mask_targets(
                [instances.masks for instances in batch_gt_instances],
                semantic_logits.shape[-2:], self.semantic_stride,
                semantic_logits.device)
            losses['loss_semantic'] = self.loss_semantic(
                semantic_logits.float(), goal)
        return dict(loss_mask=losses, mask_targets=targets)

    def predict_by_feat(self,
                        mask_preds: Sequence[Tensor],
                        results_list: InstanceList,
                        batch_img_metas: List[dict],
                        rcnn_test_cfg: ConfigDict,
                        rescale: bool = False) -> InstanceList:
        """Turn logits into masks of the image.

        Args:
            mask_preds: Of each image (n, 1, S, S) fused logits.
            results_list: Detections, n of each image.
            batch_img_metas: Meta information of each image.
            rcnn_test_cfg: ``mask_thr_binary``.
            rescale: Return boxes and masks in pixels of the original image.

        Returns:
            The detections with ``masks`` (n, H, W) bool and boxes in pixels
            of the same image.
        """
        for logits, results, meta in zip(mask_preds, results_list,
                                         batch_img_metas):
            self._predict_by_feat_single(logits, results, meta,
                                         rcnn_test_cfg.mask_thr_binary,
                                         rescale)
        return results_list

    def _predict_by_feat_single(self, logits: Tensor, results: InstanceData,
                                meta: dict, threshold: float,
                                rescale: bool) -> None:
        """Add masks to the detections of one image."""
        shape = meta['img_shape'][:2]
        if rescale:
            shape = meta['ori_shape'][:2]
            factor = results.bboxes.new_tensor(meta['scale_factor'])
            results.bboxes = results.bboxes / factor.repeat(2)
        results.masks = paste_masks(logits[:, 0].float().sigmoid(),
                                    results.bboxes, shape, threshold)

    def fused_logits(self, stage_logits: List[Tensor]) -> Tensor:
        """Join the stages as a test does: later ones near boundaries only.

        Args:
            stage_logits: What `refine` returned; not changed.

        Returns:
            (N, 1, S, S) logits of the last stage's size.
        """
        return refine_stages([logits.float() for logits in stage_logits],
                             self.start_stage, self.fuse_width)


@MODELS.register_module()
class SimpleRefineMaskHead(RefineMaskHead):
    """RefineMask without semantic supervision, the later and faster variant.

    The last stage keeps the size of the one before, and its logits are
    upsampled.

    Args:
        pre_upsample_last_stage: Upsample the last stage's features instead.
        loss_mask: Loss of all stages' logits and targets.
        stage: Config of the stages; sizes and channels are filled in.
        args: Of `RefineMaskHead`.
        kwargs: Likewise, but ``loss_semantic``.
    """

    with_semantic_loss = False

    def __init__(self,
                 *args,
                 pre_upsample_last_stage: bool = False,
                 stage: dict = dict(
                     type='mmseghead.SimpleSemanticFusionStage'),
                 loss_mask: dict = dict(
                     type='mmseghead.BoundaryRefinementLoss',
                     stage_weights=(0.5, 0.75, 0.75, 1.0)),
                 **kwargs) -> None:
        super().__init__(*args, stage=stage, loss_mask=loss_mask, **kwargs)
        self.pre_upsample_last_stage = pre_upsample_last_stage

    def _stage_options(self, index: int) -> dict:
        return dict(upsamples=index < self.num_refinements - 1)

    def _last_logits(self, feats: Tensor, labels: Tensor) -> Tensor:
        if self.pre_upsample_last_stage:
            feats = F.interpolate(
                feats, scale_factor=2, mode='bilinear', align_corners=False)
        logits = class_logits(self.final, feats, labels)
        if self.pre_upsample_last_stage:
            return logits
        return upsample_logits(logits)

    def _upsampled(self, seen: Tensor, known: Tensor) -> Tensor:
        joint = seen + known
        if not self.pre_upsample_last_stage or not len(joint):
            return upsample_logits(joint)
        return F.interpolate(
            joint, scale_factor=2, mode='bilinear', align_corners=False)


def _convs(in_channels: int, channels: int, count: int) -> Sequential:
    """Return 3x3 convolutions, each with a ReLU."""
    return Sequential(*(ConvModule(
        channels if i else in_channels, channels, 3, padding=1)
                        for i in range(count)))
