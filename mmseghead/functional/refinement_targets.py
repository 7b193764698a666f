"""Targets of masks that are refined step by step.

R RoIs, S cells per side of the finest grid.
"""
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor


class RefinementTargets(NamedTuple):
    """Targets of one stage, on a grid of s x s cells.

    Attributes:
        inside: (R, s, s) bool, whether most of a cell is foreground.
        ambiguous: (R, s, s) bool, whether a cell holds both foreground and
            background.
    """
    inside: Tensor
    ambiguous: Tensor


def refinement_targets(coverage: Tensor,
                       size: int,
                       eps: float = 1e-4) -> RefinementTargets:
    """Derive the targets of one stage from the finest coverage.

    A cell is ambiguous if the finest cells in it are not all empty and not
    all full. So the parent of an ambiguous cell is ambiguous, which does not
    hold for ``eps < mean < 1 - eps``.

    Args:
        coverage: (R, S, S) share of foreground in each cell, 0 to 1.
        size: s, cells per side of the stage; it divides S.
        eps: RoIAlign rounds: it gives a covered cell 1 - 6e-8.

    Returns:
        Targets on s x s cells.

    Raises:
        ValueError: if ``size`` does not divide S.

    Source: EffSeg, arXiv:2307.01545, section 3.5. Differs: one coverage map
    and pooling in place of one RoIAlign per stage.
    """
    if size < 1 or coverage.shape[-1] % size:
        raise ValueError('`size` of refinement_targets must divide the '
                         f'{coverage.shape[-1]} cells of a side, got {size}.')
    children = coverage.shape[-1] // size
    maps = coverage[:, None]
    mean = F.avg_pool2d(maps, children)[:, 0]
    most = F.max_pool2d(maps, children)[:, 0]
    least = -F.max_pool2d(-maps, children)[:, 0]
    return RefinementTargets(mean > 0.5, (most > eps) & (least < 1 - eps))
