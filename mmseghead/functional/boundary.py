"""Boundaries of binary masks, and masks refined within a band around them.

Legend: N masks, S side of a map, w width of a boundary in cells.

Source: RefineMask, arXiv:2104.08569, section 3.3.
"""
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

#: Share of the window that must be of the other class. No number of cells of
#: a square window of odd side is exactly this share: there are no ties.
MIN_SHARE = 0.1
#: What a boundary is upsampled with. Logits and boundaries keep the corners
#: in place (``align_corners=True``), unlike features.
SCALE = 2


def mask_boundaries(masks: Tensor, width: int) -> Tensor:
    """Find the cells whose window holds enough of the other class.

    The window has ``2 * width + 1`` cells a side; cells outside of the map
    count as background. A mask that fills its map therefore has a frame of
    ``width`` cells, an empty one has no boundary.

    Args:
        masks: (..., S, S) of 0 and 1 or bool, any floating or integer type.
        width: w, at least 1.

    Returns:
        Bool, the shape of ``masks``. Passes no gradient.

    Raises:
        ValueError: if the width is less than 1.

    Differs: one box filter on the map in place of a convolution with a
    Laplacian-like kernel. Counts are exact in single precision.
    """
    if width < 1:
        raise ValueError('`width` of mask_boundaries must be an int >= 1, got '
                         f'{width!r}.')
    side = 2 * width + 1
    if not masks.numel():
        return torch.zeros_like(masks, dtype=torch.bool)
    maps = masks.detach().float()
    maps = maps.reshape(-1, 1, *masks.shape[-2:])  # (N, 1, S, S)
    count = F.avg_pool2d(
        maps, side, stride=1, padding=width, divisor_override=1)
    area = side * side
    others = torch.where(maps > 0, area - count, count)
    return (others > MIN_SHARE * area).view_as(masks)


def upsample_logits(logits: Tensor) -> Tensor:
    """Double the size of maps of logits.

    Args:
        logits: (N, C, S, S), N may be 0.

    Returns:
        (N, C, 2 * S, 2 * S), bilinear between the cells, with the outermost
        ones at the corners.
    """
    if not logits.numel():
        height, width = logits.shape[-2:]
        return logits.reshape(*logits.shape[:2], SCALE * height,
                              SCALE * width)
    return F.interpolate(
        logits, scale_factor=SCALE, mode='bilinear', align_corners=True)


def upsample_band(boundaries: Tensor) -> Tensor:
    """Double the size of boundaries.

    The reference counts an interpolated value of exactly one half as boundary
    in training and not in a test. Twice the size, corners aligned, such a
    value does not occur: every value is a multiple of 1 / (2 * S - 1)**2.

    Args:
        boundaries: (N, 1, S, S) bool.

    Returns:
        (N, 1, 2 * S, 2 * S) bool.
    """
    return upsample_logits(boundaries.float()) >= 0.5


def read_cells(fine: Tensor) -> Tensor:
    """Find the cells that an upsampling reads to fill some finer cells.

    Cell i is read for the finer cells 2 * i - 1 to 2 * i + 2 at most, with
    the corners aligned or not.

    Args:
        fine: (N, 1, 2 * S, 2 * S) bool, the cells to fill.

    Returns:
        (N, 1, S, S) bool; also those that are read with a weight of 0 only.
    """
    if not fine.numel():
        return fine[..., ::SCALE, ::SCALE]
    return F.max_pool2d(fine.float(), 2 * SCALE, SCALE, 1) > 0


def refine_in_band(coarse: Tensor, fine: Tensor, width: int = 1) -> Tensor:
    """Take finer logits near the boundaries of a coarser mask only.

    Args:
        coarse: (N, 1, S, S) logits.
        fine: (N, 1, 2 * S, 2 * S) logits; not changed.
        width: w of the boundary, in cells of ``coarse``.

    Returns:
        (N, 1, 2 * S, 2 * S): ``fine`` within the band, elsewhere ``coarse``
        upsampled.
    """
    band = upsample_band(mask_boundaries(coarse >= 0, width))
    return torch.where(band, fine, upsample_logits(coarse))


def refine_stages(stage_logits: Sequence[Tensor],
                  start_stage: int = 1,
                  width: int = 1) -> Tensor:
    """Fuse the stages of a boundary-aware head into its final mask.

    Args:
        stage_logits: (N, 1, S, S) by stage, each twice as large as the one
            before.
        start_stage: The first one that is used.
        width: w of the boundaries.

    Returns:
        (N, 1, S, S) logits of the last stage's size. Each stage overwrites
        the fused map of those before near its boundaries.
    """
    fused = stage_logits[start_stage]
    for fine in stage_logits[start_stage + 1:]:
        fused = refine_in_band(fused, fine, width)
    return fused
