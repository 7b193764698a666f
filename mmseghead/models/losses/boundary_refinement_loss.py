"""Loss of masks that are refined stage by stage near boundaries.

Legend: N RoIs, S side of a stage's map, T stages.

Source: RefineMask, arXiv:2104.08569, section 3.3, and the code published with
it, which names it RefineCrossEntropyLoss and BARCrossEntropyLoss.
"""
from typing import List, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmseghead.functional.boundary import (mask_boundaries, refine_in_band,
                                           upsample_band)
from mmseghead.registry import MODELS


@torch.no_grad()
def refinement_regions(stage_logits: Sequence[Tensor],
                       stage_targets: Sequence[Tensor],
                       start_stage: int = 1,
                       width: int = 2,
                       fuse_width: int = 1) -> List[Optional[Tensor]]:
    """Find where each stage learns: near boundaries of the stage before.

    The boundary is that of the prediction, fused as in a test, and that of
    the target. Regions pass no gradient.

    Args:
        stage_logits: T maps (N, 1, S, S), each twice as large as the last.
        stage_targets: T maps (N, S, S) of 0 and 1.
        start_stage: The last stage that learns everywhere.
        width: Width of the boundaries, in cells of the stage before.
        fuse_width: Width of the band in which a test takes a later stage.

    Returns:
        T regions (N, 1, S, S) bool; None where a stage learns everywhere.
    """
    regions: List[Optional[Tensor]] = [None] * (start_stage + 1)
    current = stage_logits[start_stage]
    for stage in range(start_stage + 1, len(stage_logits)):
        boundaries = mask_boundaries(current >= 0, width) | mask_boundaries(
            stage_targets[stage - 1][:, None], width)
        regions.append(upsample_band(boundaries))
        if stage + 1 < len(stage_logits):
            current = refine_in_band(current, stage_logits[stage], fuse_width)
    return regions


@MODELS.register_module()
class BoundaryRefinementLoss(nn.Module):
    """Binary cross entropy, from some stage on only near boundaries.

    A stage that learns everywhere averages over its cells, a later one over
    the cells of its region, of all RoIs together. The original RefineMask
    weights its stages 0.25, 0.5, 0.75 and 1, the simple one 0.5, 0.75, 0.75
    and 1.

    Args:
        stage_weights: T weights.
        start_stage: The last stage that learns everywhere.
        boundary_width: Width of the regions' boundaries, in cells of the
            stage before.
        fuse_width: Width of the band in which a test takes a later stage.
        loss_weight: Weight of the sum.

    Raises:
        ValueError: if ``start_stage`` is no stage.
    """

    def __init__(self,
                 stage_weights: Sequence[float] = (0.25, 0.5, 0.75, 1.0),
                 start_stage: int = 1,
                 boundary_width: int = 2,
                 fuse_width: int = 1,
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        if not 0 <= start_stage < len(stage_weights):
            raise ValueError(
                '`start_stage` of BoundaryRefinementLoss must be a stage, 0 '
                f'to {len(stage_weights) - 1}, got {start_stage!r}.')
        self.stage_weights = tuple(stage_weights)
        self.start_stage = start_stage
        self.boundary_width = boundary_width
        self.fuse_width = fuse_width
        self.loss_weight = loss_weight

    def forward(self,
                pred: Sequence[Tensor],
                target: Sequence[Tensor],
                weight: Optional[Tensor] = None,
                avg_factor: Optional[float] = None,
                reduction_override: Optional[str] = None) -> Tensor:
        """Sum the weighted losses of the stages.

        Args:
            pred: T logits (N, 1, S, S).
            target: T targets (N, S, S) of 0 and 1.
            weight: (N,) weight of each RoI; 1 by default.
            avg_factor: Divide each stage's sum by this number in place of the
                number of its cells.
            reduction_override: 'sum' does not divide.

        Returns:
            Scalar, single precision at least; 0 and connected to ``pred`` if
            N is 0 or all regions are empty.

        Raises:
            ValueError: if there are not as many maps as stages, or the
                reduction is unknown.
        """
        self._check(pred, target, reduction_override)
        pred = [logits.to(torch.promote_types(logits.dtype, torch.float32))
                for logits in pred]
        regions = refinement_regions(pred, target, self.start_stage,
                                     self.boundary_width, self.fuse_width)
        total = 0.
        for logits, goal, region, factor in zip(pred, target, regions,
                                                self.stage_weights):
            losses = F.binary_cross_entropy_with_logits(
                logits, goal[:, None].to(logits), reduction='none')
            if weight is not None:
                losses = losses * weight.view(-1, 1, 1, 1)
            cells = losses.new_tensor(losses.numel())
            if region is not None:
                # where() and not a product: an infinite logit outside of the
                # region must not become NaN.
                losses = torch.where(region, losses, 0)
                cells = region.sum()
            if avg_factor is not None:
                cells = losses.new_tensor(avg_factor)
            loss = losses.sum()
            if reduction_override != 'sum':
                loss = loss / cells.clamp(min=1)
            total = total + factor * loss
        return self.loss_weight * total

    def _check(self, pred: Sequence[Tensor], target: Sequence[Tensor],
               reduction: Optional[str]) -> None:
        stages = len(self.stage_weights)
        if not len(pred) == len(target) == stages:
            raise ValueError(
                '`pred` and `target` of BoundaryRefinementLoss must have '
                f'{stages} maps each, one per stage weight, got {len(pred)} '
                f'and {len(target)}.')
        if reduction not in (None, 'mean', 'sum'):
            raise ValueError(
                '`reduction_override` of BoundaryRefinementLoss must be None, '
                f"'mean' or 'sum', got {reduction!r}.")
