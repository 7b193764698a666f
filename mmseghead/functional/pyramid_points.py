"""Places of a feature pyramid: their index arithmetic and their patches.

Legend: B images, L levels, A anchors per location, N points, C channels, h/w
of a level's map, F flat places of one image.
"""
from typing import NamedTuple, Sequence, Tuple

import torch
from torch import Tensor


class PyramidPoints(NamedTuple):
    """Points of interest of a batch; every field is (N,) int64.

    Attributes:
        images: Index of the image in the batch.
        levels: Index of the pyramid's level, fine to coarse.
        ys: Row of the level's map.
        xs: Column of the level's map.
        anchors: Index of the anchor at the location; 0 without anchors.
    """

    images: Tensor
    levels: Tensor
    ys: Tensor
    xs: Tensor
    anchors: Tensor


def unravel_places(flat: Tensor, sizes: Sequence[Tuple[int, int]],
                   num_anchors: int) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn flat indices of priors into level, row, column and anchor.

    The order is mmdet's: level, row, column, anchor, the last one fastest.

    Args:
        flat: (N,) int64 in [0, F), F = A * (sum of h * w).
        sizes: (h, w) of each level.
        num_anchors: A, at least 1.

    Returns:
        (N,) int64 levels, rows, columns and anchors.
    """
    counts = [height * width * num_anchors for height, width in sizes]
    ends = torch.tensor(counts, device=flat.device).cumsum(0)
    levels = torch.searchsorted(ends, flat, right=True)
    inner = flat - (ends - ends.new_tensor(counts))[levels]
    widths = ends.new_tensor([width for _, width in sizes])[levels]
    location = inner.div(num_anchors, rounding_mode='floor')
    rows = location.div(widths, rounding_mode='floor')
    return levels, rows, location - rows * widths, inner % num_anchors


def ravel_places(levels: Tensor, rows: Tensor, columns: Tensor,
                 anchors: Tensor, sizes: Sequence[Tuple[int, int]],
                 num_anchors: int) -> Tensor:
    """Turn level, row, column and anchor into flat indices of priors.

    Args:
        levels: (N,) int64.
        rows: (N,) int64.
        columns: (N,) int64.
        anchors: (N,) int64.
        sizes: (h, w) of each level.
        num_anchors: A, at least 1.

    Returns:
        (N,) int64; ``unravel_places`` is the inverse.
    """
    counts = [height * width * num_anchors for height, width in sizes]
    counts = torch.tensor(counts, device=levels.device)
    begins = counts.cumsum(0) - counts
    widths = counts.new_tensor([width for _, width in sizes])
    location = rows * widths[levels] + columns
    return begins[levels] + location * num_anchors + anchors


def gather_patches(feats: Sequence[Tensor], points: PyramidPoints) -> Tensor:
    """Return the 3 x 3 neighbourhood of each point, zero beyond the border.

    Only what the points see is read: no map is copied or padded.

    Args:
        feats: L maps (B, C, h, w).
        points: N points within the maps.

    Returns:
        (N, C, 9), the neighbours in row-major order like a flattened kernel,
        in the order of the points; (0, C, 9) without points, connected to
        ``feats``.
    """
    parts, rows = [], []
    for level, feat in enumerate(feats):
        own = (points.levels == level).nonzero()[:, 0]
        parts.append(
            _patches_of_level(feat, points.images[own], points.ys[own],
                              points.xs[own]))
        rows.append(own)
    return torch.cat(parts)[torch.cat(rows).argsort()]


def _patches_of_level(feat: Tensor, images: Tensor, ys: Tensor,
                      xs: Tensor) -> Tensor:
    height, width = feat.shape[-2:]
    step = torch.arange(-1, 2, device=feat.device)
    down = ys[:, None] + step.repeat_interleave(3)  # (N, 9)
    across = xs[:, None] + step.repeat(3)  # (N, 9)
    inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    found = feat[images[:, None], :,
                 down.clamp(0, height - 1),
                 across.clamp(0, width - 1)]  # (N, 9, C)
    # where() and not a product: infinities outside must not become NaN.
    found = torch.where(inside[..., None], found, found.new_zeros(()))
    return found.transpose(1, 2)  # (N, C, 9)
