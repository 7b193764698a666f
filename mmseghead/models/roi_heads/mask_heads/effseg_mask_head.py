"""EffSeg's mask head: fine masks, computed only where they are needed.

B images, R RoIs, L pyramid levels, stages s = 0, 1, ... with H_s cells per
side (14, 28, 56, 112), A_s active cells of F_s channels (256, 128, 64, 32).
"""
from typing import Dict, List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.utils import InstanceList
from mmengine.model import BaseModule
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmseghead.functional.box_masks import mask_coverage, paste_masks
from mmseghead.functional.mask_scores import mask_scores
from mmseghead.functional.position_code import sine_position_code
from mmseghead.functional.pyramid_sampling import flatten_pyramid, map_levels
from mmseghead.functional.refinement_targets import refinement_targets
from mmseghead.functional.sparse_grid import (SparseGrid, dense_grid,
                                              gather_active, keep_rows,
                                              scatter_active, select_rows,
                                              with_features)
from mmseghead.registry import MODELS

#: Names of the processing modules (table 5) -> registered layers.
PROCESSES = dict(
    sfm='mmseghead.SparseSFM',
    mlp='mmseghead.SparseMLP',
    conv='mmseghead.SparseConv',
    deform='mmseghead.SparseDeformConv',
    dense_sfm='mmseghead.DenseSFM')
SCOPES = ('image', 'batch')


@MODELS.register_module()
class EffSegMaskHead(BaseModule):
    """Class-agnostic masks, refined where an edge is expected.

    Stage 0 is dense. Each later stage doubles the resolution of the cells
    that look most like edges, up to a budget, and leaves the others alone.

    Source: EffSeg, arXiv:2307.01545. Where text and published parameter
    counts differ, the counts decide.

    Args:
        in_channels: Channels of the feature pyramid.
        feat_channels: F_0; each stage halves it.
        num_stages: Stages, the dense one included.
        num_convs: 3x3 convolutions of the dense stage.
        roi_size: H_0.
        num_refine: Cells to divide at each step; None: all.
        num_refine_train: The same in training; ``num_refine`` by default.
        refine_scope: Whether that is the budget of an 'image' or of a
            'batch'. With 'image' a result does not depend on the batch.
        process: Module that sees the neighbours of a cell: 'sfm', 'mlp',
            'conv', 'deform', 'dense_sfm', or the config of a layer.
        dilations: Of 'sfm' and 'dense_sfm'.
        inst_feat_channels: Channels of the instance features; None: none.
        with_pos_code: Add a position code to the RoI features.
        strides: Pixels per cell of the pyramid's levels that are read.
        finest_scale: RoIs of twice this side, pixels, leave level 0.
        roi_extractor: Pools the RoI features; by default RoIAlign with as
            many samples as cells, from the levels of ``strides``.
        loss_seg: Loss of the segmentation.
        loss_ref: Loss of the choice of cells.
        loss_seg_weights: One number per stage.
        loss_ref_weights: One number per stage.
        target_eps: A cell covered by less than this, or by more than one
            minus this, is no edge.
        mask_score_weighting: Multiply the scores by how sure the masks are.
        mask_thr_binary: Probability from which on a pixel is foreground.
        logits_std: Standard deviation of the last layers' weights at the
            start; None: PyTorch's, as in the source.
        init_cfg: Initialisation; as in the source by default.

    Raises:
        ValueError: if a size, name or number of weights is wrong.
    """

    def __init__(
        self,
        in_channels: int = 256,
        feat_channels: int = 256,
        num_stages: int = 4,
        *,
        num_convs: int = 4,
        roi_size: int = 14,
        num_refine: Optional[int] = 10000,
        num_refine_train: Optional[int] = None,
        refine_scope: str = 'image',
        process: Union[str, dict] = 'sfm',
        dilations: Sequence[int] = (1, 3, 5),
        inst_feat_channels: Optional[int] = None,
        with_pos_code: bool = True,
        strides: Sequence[int] = (4, 8, 16, 32),
        finest_scale: int = 56,
        roi_extractor: Optional[dict] = None,
        loss_seg: dict = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_ref: dict = dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        loss_seg_weights: Sequence[float] = (0.25, 0.375, 0.375, 0.5),
        loss_ref_weights: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
        target_eps: float = 1e-4,
        mask_score_weighting: bool = True,
        mask_thr_binary: float = 0.5,
        logits_std: Optional[float] = None,
        init_cfg: Union[dict, list, None] = None
    ) -> None:
        super().__init__(init_cfg)
        for budget in (num_refine, num_refine_train):
            _check_budget(budget)
        _check(feat_channels, num_stages, refine_scope, loss_seg_weights,
               loss_ref_weights)
        self.num_stages = num_stages
        self.roi_size = roi_size
        self.num_refine = num_refine
        self.num_refine_train = (
            num_refine if num_refine_train is None else num_refine_train)
        self.refine_scope = refine_scope
        self.inst_feat_channels = inst_feat_channels
        self.strides = tuple(strides)
        self.finest_scale = finest_scale
        self.loss_seg_weights = tuple(loss_seg_weights)
        self.loss_ref_weights = tuple(loss_ref_weights)
        self.target_eps = target_eps
        self.mask_score_weighting = mask_score_weighting
        self.mask_thr_binary = mask_thr_binary
        self.logits_std = logits_std
        self.loss_seg = MODELS.build(loss_seg)
        self.loss_ref = MODELS.build(loss_ref)
        self.roi_extractor = MODELS.build(roi_extractor or dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(
                type='RoIAlign', output_size=roi_size, sampling_ratio=0),
            out_channels=in_channels,
            featmap_strides=list(strides),
            finest_scale=finest_scale))
        code = sine_position_code(roi_size, in_channels)
        self.register_buffer(
            'pos_code', code if with_pos_code else None, persistent=False)
        self.fusion = None
        if inst_feat_channels is not None:
            self.fusion = MODELS.build(
                dict(
                    type='mmseghead.InstanceFeatureFusion',
                    inst_channels=inst_feat_channels,
                    channels=in_channels))
        self.convs = nn.Sequential(*(ConvModule(
            feat_channels if i else in_channels, feat_channels, 3, padding=1)
                                     for i in range(num_convs)))
        widths = [feat_channels // 2**stage for stage in range(num_stages)]
        self.seg_predictors = nn.ModuleList(map(_predictor, widths))
        self.ref_predictors = nn.ModuleList(map(_predictor, widths))
        process = _process_config(process, dilations)
        self.refinements = nn.ModuleList(
            MODELS.build(
                dict(
                    type='mmseghead.SparseRefinement',
                    in_channels=wide,
                    out_channels=narrow,
                    pyramid_channels=in_channels,
                    process=process))
            for wide, narrow in zip(widths, widths[1:]))

    def init_weights(self) -> None:
        """Initialise; the last layers with ``logits_std`` if it is given."""
        super().init_weights()
        if self.logits_std is not None:
            for predictor in [*self.seg_predictors, *self.ref_predictors]:
                nn.init.normal_(predictor[-1].weight, std=self.logits_std)

    def forward(self,
                x: Sequence[Tensor],
                rois: Tensor,
                inst_feats: Optional[Tensor] = None) -> Dict[str, list]:
        """Segment RoIs.

        Args:
            x: Pyramid maps (B, C, h, w), fine to coarse, at least L.
            rois: (R, 5) image and xyxy, pixels of the network's input, within
                the image. No gradient passes to them.
            inst_feats: (R, ``inst_feat_channels``) instance features, if the
                head was built for some.

        Returns:
            Lists with one entry per stage, R may be 0:

            - ``seg_logits``: (A_s,) foreground logit of each active cell;
            - ``ref_logits``: (A_s,) logit of "this cell holds an edge"; None
              where it is not needed, in the last stage of a prediction;
            - ``grids``: `SparseGrid` of the active cells, without features.
        """
        # Half precision holds neither areas nor coordinates of large boxes.
        rois = rois.detach().to(torch.promote_types(rois.dtype, torch.float32))
        x = x[:len(self.strides)]
        feats = self._dense_stage(x, rois, inst_feats)
        levels = map_levels(rois[:, 1:], len(x), self.finest_scale)
        grid = dense_grid(feats, rois[:, 0].long(), levels)
        table = flatten_pyramid(x, self.strides)
        outputs: Dict[str, list] = dict(seg_logits=[], ref_logits=[], grids=[])
        self._predict(grid, outputs)
        for refinement in self.refinements:
            kept = self._select(outputs['ref_logits'][-1], grid)
            grid = keep_rows(grid, kept)
            grid = refinement(grid, table, rois[:, 1:])
            self._predict(grid, outputs)
        return outputs

    def _dense_stage(self, x: Sequence[Tensor], rois: Tensor,
                     inst_feats: Optional[Tensor]) -> Tensor:
        """Return (R, F_0, H_0, H_0) features."""
        # mmdet's extractor would cast the boxes to the type of the maps.
        feats = self.roi_extractor([level.float() for level in x],
                                   rois.float())
        if self.pos_code is not None:
            feats = feats + self.pos_code
        if self.fusion is not None:
            feats = self.fusion(feats, inst_feats)
        return self.convs(feats)

    def _select(self, ref_logits: Tensor, grid: SparseGrid) -> Tensor:
        """Return the rows to divide."""
        budget = self.num_refine_train if self.training else self.num_refine
        if budget is None:
            return torch.arange(grid.num_active, device=ref_logits.device)
        images = grid.image_inds if self.refine_scope == 'image' else None
        return select_rows(ref_logits.float(), budget, images)

    def _predict(self, grid: SparseGrid, outputs: Dict[str, list]) -> None:
        """Append the predictions of one stage."""
        stage = len(outputs['grids'])
        is_used = self.training or stage < self.num_stages - 1
        outputs['seg_logits'].append(
            self.seg_predictors[stage](grid.active)[:, 0])
        outputs['ref_logits'].append(
            self.ref_predictors[stage](grid.active)[:, 0] if is_used else None)
        outputs['grids'].append(
            with_features(grid, grid.active.new_empty(grid.num_active, 0),
                          grid.passive.new_empty(grid.num_passive, 0)))

    def mask_logits(self, outputs: Dict[str, list]) -> List[Tensor]:
        """Join the predictions of the stages to masks.

        A stage's logits are those of the stage before, upsampled, with its
        own at its active cells.

        Args:
            outputs: What `forward` returned.

        Returns:
            Of each stage (R, 1, H_s, H_s) logits; the last is the result.
        """
        logits = outputs['seg_logits'][0].float()
        logits = logits.view(-1, 1, self.roi_size, self.roi_size)
        mlvl_logits = [logits]
        for grid, values in zip(outputs['grids'][1:], outputs['seg_logits'][1:]):
            logits = F.interpolate(
                logits, scale_factor=2, mode='bilinear', align_corners=False)
            logits = scatter_active(logits, grid, values)
            mlvl_logits.append(logits)
        return mlvl_logits

    @torch.no_grad()
    def get_targets(self, rois: Tensor, gt_inds: Tensor,
                    batch_gt_instances: InstanceList) -> Tensor:
        """Return how much of each finest cell the RoIs' objects cover.

        Args:
            rois: (R, 5).
            gt_inds: (R,) int64, the object of each RoI, by its place in its
                image.
            batch_gt_instances: Ground truth with ``masks`` at the size of
                the network's input; polygons are rasterised there.

        Returns:
            (R, S, S) float32 from 0 to 1, S cells per side of the last stage.
        """
        size = self.roi_size * 2**(self.num_stages - 1)
        coverage = rois.new_zeros((len(rois), size, size), dtype=torch.float32)
        for image, instances in enumerate(batch_gt_instances):
            rows = (rois[:, 0] == image).nonzero()[:, 0]
            if len(rows):
                masks = instances.masks.to_tensor(torch.float32, rois.device)
                coverage[rows] = mask_coverage(masks, gt_inds[rows],
                                               rois[rows, 1:], size)
        return coverage

    def loss_and_target(self, outputs: Dict[str, list], rois: Tensor,
                        gt_inds: Tensor,
                        batch_gt_instances: InstanceList) -> dict:
        """Compute the losses of all stages, each at its active cells.

        Args:
            outputs: What `forward` returned for ``rois``.
            rois: (R, 5) positive RoIs.
            gt_inds: (R,) int64, the object of each RoI.
            batch_gt_instances: Ground truth.

        Returns:
            ``loss_mask``: the losses, ``loss_seg_s<stage>`` and
            ``loss_ref_s<stage>``; ``mask_targets``: (R, S, S) coverage.
        """
        coverage = self.get_targets(rois, gt_inds, batch_gt_instances)
        losses: Dict[str, Tensor] = {}
        for stage, grid in enumerate(outputs['grids']):
            targets = refinement_targets(coverage, grid.size[0],
                                         self.target_eps)
            targets = gather_active(torch.stack(targets, 1).float(), grid)
            losses[f'loss_seg_s{stage}'] = _mean_loss(
                self.loss_seg, outputs['seg_logits'][stage],
                targets[:, 0]) * self.loss_seg_weights[stage]
            if outputs['ref_logits'][stage] is not None:
                losses[f'loss_ref_s{stage}'] = _mean_loss(
                    self.loss_ref, outputs['ref_logits'][stage],
                    targets[:, 1]) * self.loss_ref_weights[stage]
        return dict(loss_mask=losses, mask_targets=coverage)

    def zero_loss(self, *others: Tensor) -> dict:
        """Return the losses of no RoI, connected to every parameter.

        Args:
            others: Tensors to connect too, such as instance features.
        """
        tensors = [*self.parameters(), *others]
        zero = sum(tensor.sum() * 0. for tensor in tensors)
        names = [f'loss_{kind}_s{stage}' for stage in range(self.num_stages)
                 for kind in ('seg', 'ref')]
        return dict(loss_mask={name: zero for name in names})

    def predict_by_feat(self,
                        mask_logits: Sequence[Tensor],
                        bboxes: Sequence[Tensor],
                        results_list: InstanceList,
                        batch_img_metas: List[dict],
                        rescale: bool = False) -> InstanceList:
        """Turn logits into masks of the image.

        Args:
            mask_logits: Of each image (n, 1, S, S).
            bboxes: Of each image (n, 4), the boxes that were segmented,
                pixels of the network's input.
            results_list: Detections, n of each image.
            batch_img_metas: Meta information of each image.
            rescale: Return boxes and masks in pixels of the original image.

        Returns:
            The detections with ``masks`` (n, H, W) bool, boxes in pixels of
            the same image, and weighted ``scores``.
        """
        for results, logits, boxes, meta in zip(results_list, mask_logits,
                                                bboxes, batch_img_metas):
            self._predict_by_feat_single(results, logits.sigmoid()[:, 0],
                                         boxes, meta, rescale)
        return results_list

    def _predict_by_feat_single(self, results: InstanceData, probs: Tensor,
                                bboxes: Tensor, img_meta: dict,
                                rescale: bool) -> None:
        """Add masks to the detections of one image."""
        shape: Tuple[int, int] = img_meta['img_shape'][:2]
        if rescale:
            shape = img_meta['ori_shape'][:2]
            factor = bboxes.new_tensor(img_meta['scale_factor']).repeat(2)
            results.bboxes = results.bboxes / factor
            bboxes = bboxes / factor
        if self.mask_score_weighting:
            sure = mask_scores(probs, self.mask_thr_binary)
            results.scores = results.scores * sure.to(results.scores.dtype)
        results.masks = paste_masks(probs, bboxes, shape,
                                    self.mask_thr_binary)


def _check_budget(budget: Optional[int]) -> None:
    if budget is not None and budget < 0:
        raise ValueError('`num_refine` of EffSegMaskHead must be >= 0 or '
                         f'None, got {budget!r}.')


def _check(feat_channels: int, num_stages: int, refine_scope: str,
           *weights: Sequence[float]) -> None:
    """Raise ValueError for what cannot be built."""
    owner = 'of EffSegMaskHead must be'
    if num_stages < 1:
        raise ValueError(f'`num_stages` {owner} >= 1, got {num_stages!r}.')
    if feat_channels % 2**(num_stages - 1):
        raise ValueError(f'`feat_channels` {owner} divisible by '
                         f'{2**(num_stages - 1)}, got {feat_channels!r}.')
    if refine_scope not in SCOPES:
        raise ValueError(f'`refine_scope` {owner} one of {SCOPES}, got '
                         f'{refine_scope!r}.')
    for name, values in zip(('loss_seg_weights', 'loss_ref_weights'), weights):
        if len(values) != num_stages:
            raise ValueError(f'`{name}` {owner} {num_stages} numbers, one a '
                             f'stage, got {tuple(values)}.')


def _process_config(process: Union[str, dict],
                    dilations: Sequence[int]) -> dict:
    """Return the config of a processing module."""
    if not isinstance(process, str):
        return dict(process)
    if process not in PROCESSES:
        raise ValueError('`process` of EffSegMaskHead must be one of '
                         f'{sorted(PROCESSES)} or the config of a layer, got '
                         f'{process!r}.')
    config = dict(type=PROCESSES[process])
    if process.endswith('sfm'):
        config.update(dilations=tuple(dilations))
    return config


def _predictor(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(channels, channels), nn.ReLU(), nn.Linear(channels, 1))


def _mean_loss(loss: nn.Module, logits: Tensor, target: Tensor) -> Tensor:
    """Return the loss of (A,) logits; 0 if A is 0, where it would be NaN."""
    logits = logits.float()
    return loss(logits, target) if len(logits) else logits.sum()
