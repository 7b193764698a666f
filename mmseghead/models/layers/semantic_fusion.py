"""RefineMask's stages: instance features, semantic features, masks fused.

Legend: N RoIs, B images, K classes, C channels of a stage, Cs of the semantic
features, S side of a stage's map, h/w of the semantic map.

Source: RefineMask, arXiv:2104.08569, section 3.2, and the code published with
it. It has two variants; the later one, "simple", is faster and cheaper.
"""
from typing import Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.ops import roi_align
from mmengine.model import BaseModule, ModuleList, kaiming_init
from torch import Tensor, nn

from mmseghead.functional.boundary import upsample_logits
from mmseghead.functional.index_conv import conv_taps, index_conv
from mmseghead.functional.pyramid_sampling import (flatten_pyramid,
                                                   sample_pyramid)
from mmseghead.functional.sparse_grid import (SparseGrid, masked_grid,
                                              neighbor_ids, with_features)
from mmseghead.registry import MODELS


def class_logits(predictor: nn.Conv2d, feats: Tensor,
                 labels: Tensor) -> Tensor:
    """Compute the logits of one class per RoI, and none of the others.

    Args:
        predictor: 1x1 convolution to K channels.
        feats: (N, C, S, S).
        labels: (N,) int64; those above K - 1 read the last channel, so that
            one channel serves all classes.

    Returns:
        (N, 1, S, S).
    """
    if predictor.out_channels == 1:
        return predictor(feats)
    labels = labels.clamp(max=predictor.out_channels - 1)
    weight = predictor.weight[labels].flatten(1)[:, None]  # (N, 1, C)
    logits = torch.bmm(weight, feats.flatten(2))
    logits = logits + predictor.bias[labels][:, None, None]
    return logits.view(len(feats), 1, *feats.shape[2:])


@MODELS.register_module()
class MultiBranchFusion(BaseModule):
    """Parallel 3x3 convolutions of several dilations, summed and merged.

    Args:
        channels: C of input and output.
        dilations: One branch each.
        with_average: Add the map's average, as the simple variant does.
        init_cfg: Initialisation.
    """

    def __init__(self,
                 channels: int,
                 dilations: Sequence[int] = (1, 3, 5),
                 with_average: bool = False,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.dilations = tuple(dilations)
        self.with_average = with_average
        self.branches = ModuleList(
            ConvModule(channels, channels, 3, padding=step, dilation=step)
            for step in dilations)
        self.merge = nn.Conv2d(channels, channels, 1)

    def init_weights(self) -> None:
        """Kaiming, also for the 1x1 convolution."""
        super().init_weights()
        kaiming_init(self.merge)

    def forward(self, feats: Tensor) -> Tensor:
        """Fuse neighbourhoods of several sizes.

        Args:
            feats: (N, C, S, S).

        Returns:
            (N, C, S, S), >= 0.
        """
        fused = sum(branch(feats) for branch in self.branches)
        if self.with_average:
            fused = fused + feats.mean((2, 3), keepdim=True)
        return F.relu(self.merge(fused))

    def forward_at(self, feats: Tensor, cells: Tensor) -> SparseGrid:
        """Fuse at some cells only.

        Args:
            feats: (N, C, S, S).
            cells: (N, S, S) bool, where to fuse; may be all or none.

        Returns:
            A grid whose active rows are `forward` at these cells.
        """
        grid = masked_grid(feats, cells)
        convs = [branch.conv for branch in self.branches]
        rows = index_conv(
            grid.active,
            grid.passive,
            neighbor_ids(grid, conv_taps(self.dilations)),
            torch.stack([conv.weight for conv in convs]),
            torch.stack([conv.bias for conv in convs]),
            relu=True)
        if self.with_average:
            rows = rows + feats.mean((2, 3))[grid.roi_inds]
        rows = F.linear(rows, self.merge.weight.flatten(1), self.merge.bias)
        return with_features(grid, F.relu(rows))


@MODELS.register_module()
class SemanticFusionStage(BaseModule):
    """One stage of the original RefineMask: predict, fuse, double the size.

    Args:
        in_channels: C.
        semantic_channels: Cs.
        num_classes: K of the stage's prediction; 1 for all classes alike.
        size: S.
        stride: Pixels per cell of the semantic map.
        dilations: Of the fusion's branches.
        sampling_ratio: Samples per axis of a cell, when semantic features are
            pooled; 0 for as many as there are cells of the map.
        fusion: Config of the fusion; its ``channels`` and ``dilations`` are
            filled in.
        init_cfg: Initialisation.

    Raises:
        ValueError: if C is odd, or too small to hold masks and features.
    """

    #: Maps that are fused next to the features: mask and semantic mask.
    num_masks = 2
    upsamples = True

    def __init__(self,
                 in_channels: int,
                 semantic_channels: int,
                 num_classes: int,
                 size: int,
                 *,
                 stride: int = 4,
                 dilations: Sequence[int] = (1, 3, 5),
                 sampling_ratio: int = 0,
                 fusion: dict = dict(type='mmseghead.MultiBranchFusion'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if in_channels % 2 or in_channels <= 2 * self.num_masks:
            raise ValueError(
                '`in_channels` of SemanticFusionStage must be even and more '
                f'than {2 * self.num_masks}, got {in_channels!r}.')
        self.size = size
        self.stride = stride
        self.sampling_ratio = sampling_ratio
        self.predictor = nn.Conv2d(in_channels, num_classes, 1)
        self.semantic_in = nn.Conv2d(semantic_channels, in_channels, 1)
        self.fuse = nn.Conv2d(2 * in_channels + self.num_masks, in_channels, 1)
        self.fusion = MODELS.build(
            dict(fusion, channels=in_channels, dilations=tuple(dilations)))
        self.shrink = nn.Conv2d(in_channels,
                                in_channels // 2 - self.num_masks, 1)
        self._init_variant(in_channels)

    def _init_variant(self, channels: int) -> None:
        self.semantic_out = nn.Conv2d(channels, channels, 1)

    def init_weights(self) -> None:
        """Kaiming for all 1x1 convolutions."""
        super().init_weights()
        for module in self.children():
            if isinstance(module, nn.Conv2d):
                kaiming_init(module)

    def semantic_map(self, feats: Tensor,
                     logits: Optional[Tensor]) -> Tensor:
        """Compute what is pooled from the whole map.

        Args:
            feats: (B, Cs, h, w) semantic features.
            logits: (B, 1, h, w) semantic logits.

        Returns:
            (B, C + 1, h, w): features, and the semantic mask.
        """
        narrow = F.relu(self.semantic_in(feats))
        return torch.cat((narrow, logits.sigmoid().to(narrow)), 1)

    def pool(self, semantic: Tensor, rois: Tensor) -> Tensor:
        """Pool a map of `semantic_map`, in single precision.

        Args:
            semantic: (B, c, h, w).
            rois: (N, 5), in any order of images.

        Returns:
            (N, c, S, S).
        """
        pooled = roi_align(semantic.float(), rois.float(), self.size,
                           1 / self.stride, self.sampling_ratio, 'avg', True)
        return pooled.to(semantic.dtype)

    def forward(self, feats: Tensor, semantic: Tensor, rois: Tensor,
                labels: Tensor) -> Tuple[Tensor, Tensor]:
        """Predict this stage's masks and the next stage's features.

        Args:
            feats: (N, C, S, S) instance features.
            semantic: What `semantic_map` returned.
            rois: (N, 5) in pixels.
            labels: (N,) int64 class of each RoI.

        Returns:
            (N, 1, S, S) logits and (N, C / 2, 2 * S, 2 * S) features.
        """
        logits = class_logits(self.predictor, feats, labels)
        feats, masks = self._fused(feats, logits, semantic, rois)
        feats = F.interpolate(
            F.relu(self.shrink(self.fusion(feats))),
            scale_factor=2,
            mode='bilinear',
            align_corners=False)
        # Masks are upsampled otherwise than features: as in the source.
        return logits, torch.cat((feats, upsample_logits(masks).to(feats)), 1)

    def forward_at(self, feats: Tensor, logits: Tensor, semantic: Tensor,
                   rois: Tensor, cells: Tensor) -> Tuple[SparseGrid, Tensor]:
        """Compute the next stage's features, before upsampling, at some cells.

        Args:
            feats: (N, C, S, S) instance features.
            logits: (N, 1, S, S) of this stage.
            semantic: What `semantic_map` returned.
            rois: (N, 5) in pixels.
            cells: (N, S, S) bool.

        Returns:
            A grid whose active rows are the features of these cells, and
            (N, 1 or 2, S, S) masks, which `forward` appends to them.
        """
        feats, masks = self._fused(feats, logits, semantic, rois)
        grid = self.fusion.forward_at(feats, cells)
        rows = F.linear(grid.active, self.shrink.weight.flatten(1),
                        self.shrink.bias)
        return with_features(grid, F.relu(rows)), masks

    def _fused(self, feats: Tensor, logits: Tensor, semantic: Tensor,
               rois: Tensor) -> Tuple[Tensor, Tensor]:
        """Return what enters the convolutions (N, C, S, S), and masks."""
        seen, masks = self._seen(logits, self.pool(semantic, rois))
        feats = self.fuse(torch.cat((feats, seen, masks.to(feats)), 1))
        return F.relu(feats), masks

    def _seen(self, logits: Tensor,
              pooled: Tensor) -> Tuple[Tensor, Tensor]:
        """Return semantic features (N, C, S, S), and masks (N, 2, S, S)."""
        masks = torch.cat((logits.sigmoid(), pooled[:, -1:].to(logits)), 1)
        return F.relu(self.semantic_out(pooled[:, :-1])), masks


@MODELS.register_module()
class SimpleSemanticFusionStage(SemanticFusionStage):
    """One stage of the simple RefineMask: no semantic mask, one sample a cell.

    Args:
        upsamples: Whether the next stage has twice the size. The last one
            stays, and its logits are upsampled instead.
        args: Of `SemanticFusionStage`.
        kwargs: Of `SemanticFusionStage`, but ``sampling_ratio``: semantic
            features are sampled once, at each cell's centre.
    """

    num_masks = 1

    def __init__(self, *args, upsamples: bool = True, **kwargs) -> None:
        super().__init__(
            *args,
            fusion=dict(type='mmseghead.MultiBranchFusion', with_average=True),
            **kwargs)
        self.upsamples = upsamples

    def _init_variant(self, channels: int) -> None:
        """No second layer after pooling."""

    def semantic_map(self, feats: Tensor,
                     logits: Optional[Tensor] = None) -> Tensor:
        """Compute what is sampled from the whole map.

        Args:
            feats: (B, Cs, h, w) semantic features.
            logits: Not used: this variant has none.

        Returns:
            (B, C, h, w).
        """
        return F.relu(self.semantic_in(feats))

    def pool(self, semantic: Tensor, rois: Tensor) -> Tensor:
        """Sample a map at the centres of the cells, zero outside of it.

        Args:
            semantic: (B, C, h, w).
            rois: (N, 5), in any order of images.

        Returns:
            (N, C, S, S).
        """
        boxes = rois[:, 1:].float()
        centers = torch.arange(self.size, device=rois.device) + 0.5
        # (N, S) pixels along x, and along y
        xs, ys = (boxes[:, i, None] + centers / self.size *
                  (boxes[:, i + 2] - boxes[:, i])[:, None] for i in (0, 1))
        num, side = xs.shape
        points = torch.stack((xs[:, None].expand(num, side, side),
                              ys[:, :, None].expand(num, side, side)), -1)
        images = rois[:, 0].long().repeat_interleave(side * side)
        table = flatten_pyramid([semantic], [self.stride])
        rows = sample_pyramid(table, points.view(-1, 2),
                              torch.zeros_like(images), images)
        return rows.view(num, side, side, rows.shape[1]).permute(0, 3, 1, 2)

    def forward(self, feats: Tensor, semantic: Tensor, rois: Tensor,
                labels: Tensor) -> Tuple[Tensor, Tensor]:
        """Predict this stage's masks and the next stage's features.

        Args:
            feats: (N, C, S, S) instance features.
            semantic: What `semantic_map` returned.
            rois: (N, 5) in pixels.
            labels: (N,) int64 class of each RoI.

        Returns:
            (N, 1, S, S) logits and (N, C / 2, S', S') features, S' twice S
            or S.
        """
        logits = class_logits(self.predictor, feats, labels)
        feats, mask = self._fused(feats, logits, semantic, rois)
        feats = F.relu(self.shrink(self.fusion(feats)))
        feats = torch.cat((feats, mask.to(feats)), 1)
        if self.upsamples:
            feats = F.interpolate(
                feats, scale_factor=2, mode='bilinear', align_corners=False)
        return logits, feats

    def _seen(self, logits: Tensor,
              pooled: Tensor) -> Tuple[Tensor, Tensor]:
        return pooled, logits.sigmoid()
