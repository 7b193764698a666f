"""Reading parts of full-image maps, where instances are.

Legend: n instances, h/w of a map at some stride, H/W of the output image.
"""
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .mask_parts import MaskPart


def resize_by_stride(maps: Tensor, from_stride: int, to_stride: int,
                     size: Tuple[int, int]) -> Tensor:
    """Resize maps bilinearly from one stride to another.

    Half-pixel centres; unlike a resize to a size, the places stay right when
    the source's border has been rounded up.

    Args:
        maps: (n, h, w).
        from_stride: Pixels of a source cell.
        to_stride: Pixels of a target cell.
        size: (h, w) of the result.

    Returns:
        (n, *size); 0 where the source has no cells.
    """
    if from_stride != to_stride and len(maps):
        maps = F.interpolate(
            maps[:, None],
            scale_factor=from_stride / to_stride,
            mode='bilinear',
            align_corners=False)[:, 0]
    elif from_stride != to_stride:
        maps = maps.new_zeros(0, *size)
    maps = maps[:, :size[0], :size[1]]
    missing = (0, size[1] - maps.shape[2], 0, size[0] - maps.shape[1])
    return F.pad(maps, missing) if any(missing) else maps


def paste_map_region(index: int, scores: Tensor, box: Tensor, stride: int,
                     scale: Tuple[float, float], size: Tuple[int, int], *,
                     threshold: float) -> MaskPart:
    """Read one instance's mask from a full-image score map.

    Only the pixels inside the box are computed.

    Args:
        index: Of the instance among those of the image.
        scores: (h, w) scores in [0, 1] at ``stride``, in network input
            pixels.
        box: (4,) x1, y1, x2, y2 in pixels of the output.
        stride: Pixels of a cell.
        scale: Network input pixels of an output pixel, for x and y.
        size: (H, W) of the output.
        threshold: Scores above it are the instance.

    Returns:
        The window of the pixels whose centres lie in the box, at least one.
    """
    height, width = size
    x1, y1, x2, y2 = box.tolist()
    left, right = _pixel_range(x1, x2, width)
    top, bottom = _pixel_range(y1, y2, height)
    xs = torch.arange(left, right, device=scores.device) + 0.5
    ys = torch.arange(top, bottom, device=scores.device) + 0.5
    # Grid coordinates: -1 and 1 are the outer edges of the map.
    extent = scores.new_tensor(
        [scores.shape[1], scores.shape[0]], dtype=torch.float32) * stride
    xs = xs * scale[0] / extent[0] * 2 - 1
    ys = ys * scale[1] / extent[1] * 2 - 1
    grid = torch.stack(torch.meshgrid(xs, ys, indexing='xy'), 2)
    values = F.grid_sample(
        scores.float()[None, None],
        grid[None],
        padding_mode='border',
        align_corners=False)[0]
    return MaskPart([index], values > threshold, top, left)


def _pixel_range(first: float, last: float, size: int) -> Tuple[int, int]:
    """Return begin and end of the pixels with centres in [first, last)."""
    begin = min(max(int(-(-(first - 0.5) // 1)), 0), size - 1)
    end = min(int(-(-(last - 0.5) // 1)), size)
    return begin, max(end, begin + 1)
