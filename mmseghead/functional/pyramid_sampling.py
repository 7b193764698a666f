"""Bilinear samples of a whole feature pyramid, read from one table.

B images, L levels, C channels, N points.

Source: EffSeg, arXiv:2307.01545, section 3.3 (fusion with the backbone).
Differs: one table and one gather in place of a loop over images and levels.
"""
from typing import NamedTuple, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


class PyramidTable(NamedTuple):
    """All cells of a pyramid as rows.

    Attributes:
        rows: (B * S, C), S cells of all levels of an image in a row, levels
            fine to coarse, each in the order (y, x).
        sizes: (height, width) of each level.
        strides: Pixels per cell of each level.
    """
    rows: Tensor
    sizes: tuple[tuple[int, int], ...]
    strides: tuple[int, ...]


def flatten_pyramid(feats: Sequence[Tensor],
                    strides: Sequence[int]) -> PyramidTable:
    """Put the maps of all levels and images into one table.

    Args:
        feats: L maps (B, C, height, width), fine to coarse.
        strides: L numbers of pixels per cell.

    Returns:
        The table, to be made once per batch and sampled many times.

    Raises:
        ValueError: if there are not as many strides as maps.
    """
    if len(feats) != len(strides):
        raise ValueError('`strides` of flatten_pyramid must name one stride '
                         f'per map, got {len(strides)} for {len(feats)} maps.')
    cells = torch.cat([level.flatten(2).transpose(1, 2) for level in feats], 1)
    sizes = tuple((level.shape[2], level.shape[3]) for level in feats)
    return PyramidTable(cells.flatten(0, 1), sizes, tuple(strides))


def corner_rows(table: PyramidTable, points: Tensor, levels: Tensor,
                batch_inds: Tensor) -> tuple[Tensor, Tensor]:
    """Find the four cells around each point.

    Args:
        table: The pyramid.
        points: (N, 2) points (x, y), pixels of the network's input.
        levels: (N,) int64 level of each point.
        batch_inds: (N,) int64 image of each point.

    Returns:
        (N, 4) int64 rows and (N, 4) weights, float32 at least; weights are 0
        outside of the map.
    """
    device = points.device
    dtype = torch.promote_types(points.dtype, torch.float32)
    sizes = torch.tensor(table.sizes, device=device)  # (L, 2), h and w
    areas = sizes.prod(1)
    sizes = sizes.index_select(0, levels)
    strides = torch.tensor(table.strides, dtype=dtype, device=device)
    # Cell i covers [i, i + 1) strides, its value sits in the middle.
    cells = points.to(dtype) / strides[levels][:, None] - .5
    low = cells.floor()
    share = cells - low
    xs = torch.stack([low[:, 0], low[:, 0] + 1], 1)[:, None]  # (N, 1, 2)
    ys = torch.stack([low[:, 1], low[:, 1] + 1], 1)[:, :, None]
    weights = (
        torch.stack([1 - share[:, 1], share[:, 1]], 1)[:, :, None] *
        torch.stack([1 - share[:, 0], share[:, 0]], 1)[:, None])
    height, width = sizes[:, 0, None, None], sizes[:, 1, None, None]
    inside = (xs >= 0) & (xs < width) & (ys >= 0) & (ys < height)
    start = batch_inds * areas.sum() + (areas.cumsum(0) - areas)[levels]
    rows = start[:, None, None] + ys.long() * width + xs.long()
    rows = torch.where(inside, rows, 0)
    weights = torch.where(inside, weights, 0)
    return rows.flatten(1), weights.flatten(1)


def sample_pyramid(table: PyramidTable, points: Tensor, levels: Tensor,
                   batch_inds: Tensor) -> Tensor:
    """Sample the pyramid bilinearly, zero outside of the maps.

    Positions are computed in single precision at least. They pass no
    gradient.

    Args:
        table: The pyramid.
        points: (N, 2) points (x, y), pixels of the network's input. With
            cells in the middle of their area (``align_corners=False``).
        levels: (N,) int64 level to read, 0 is the finest.
        batch_inds: (N,) int64 image to read.

    Returns:
        (N, C), dtype of the maps.
    """
    with torch.no_grad():
        rows, weights = corner_rows(table, points, levels, batch_inds)
    if not rows.numel():
        # Connected, so that distributed training stays in step.
        return table.rows[:0]
    return F.embedding_bag(
        rows,
        table.rows,
        mode='sum',
        per_sample_weights=weights.to(table.rows.dtype))


def map_levels(bboxes: Tensor,
               num_levels: int,
               finest_scale: float = 56) -> Tensor:
    """Choose the level of each box by its size.

    As mmdet's ``map_roi_levels``, but in single precision at least: in half
    precision the area of a 257 x 257 box overflows.

    Args:
        bboxes: (R, 4) xyxy, pixels.
        num_levels: Number of levels.
        finest_scale: Boxes smaller than twice this side, pixels, are read
            from level 0.

    Returns:
        (R,) int64 in [0, num_levels).
    """
    boxes = bboxes.to(torch.promote_types(bboxes.dtype, torch.float32))
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    levels = (area.sqrt() / finest_scale + 1e-6).log2().floor()
    return levels.clamp(0, num_levels - 1).long()
