"""Masks in the frame of a box: cut from an image, and pasted into one.

Legend: n boxes, G masks of an image, H/W height and width of the image, s
side of a mask in its frame.
"""
from typing import Iterator, List, Tuple

import torch
import torch.nn.functional as F
from mmcv.ops import roi_align
from torch import Tensor

from .mask_parts import MaskPart, Masks, collect_masks


def mask_coverage(masks: Tensor, inds: Tensor, boxes: Tensor,
                  size: int) -> Tensor:
    """Return how much of each cell of the boxes masks cover.

    Args:
        masks: (G, H, W) of 0 and 1, any type.
        inds: (n,) int64, which mask each box cuts.
        boxes: (n, 4) x1, y1, x2, y2 in pixels; an empty box cuts nothing.
        size: s, cells per side.

    Returns:
        (n, s, s) float32 from 0 to 1 (RoIAlign, as many samples as pixels).
    """
    if len(boxes) == 0:
        return boxes.new_zeros((0, size, size), dtype=torch.float32)
    rois = torch.cat((inds[:, None].float(), boxes.float()), 1)
    cut = roi_align(masks[:, None].float(), rois, (size, size), 1.0, 0, 'avg',
                    True)
    return cut[:, 0]


def crop_masks(masks: Tensor, inds: Tensor, boxes: Tensor,
               size: int) -> Tensor:
    """Cut masks out of boxes.

    Args:
        masks: (G, H, W) of 0 and 1, any type.
        inds: (n,) int64, which mask each box cuts.
        boxes: (n, 4) x1, y1, x2, y2 in pixels; an empty box cuts nothing.
        size: s, samples per side.

    Returns:
        (n, s, s) float32 of 0 and 1: whether a cell of the frame is covered
        by half or more, see `mask_coverage`.
    """
    return (mask_coverage(masks, inds, boxes, size) >= 0.5).float()


def paste_masks(probs: Tensor, boxes: Tensor, shape: Tuple[int, int],
                threshold: float) -> Masks:
    """Put masks back into the image, each into its box.

    Bilinear between the frame's cells, zero outside of them, like mmdet's
    heads; only a box's own window is computed.

    Args:
        probs: (n, s, s) in [0, 1].
        boxes: (n, 4) x1, y1, x2, y2 in pixels.
        shape: (H, W).
        threshold: A pixel belongs to the mask from this value on.

    Returns:
        (n, H, W) bool, as far as the memory budget allows (see
        `collect_masks`); (0, H, W) without masks.
    """
    parts = _pasted(probs, boxes, shape, threshold)
    return collect_masks(parts, len(probs), shape, probs.device)


def paste_windows(boxes: Tensor, shape: Tuple[int, int]) -> List[List[int]]:
    """Return outside of which windows nothing is pasted.

    Args:
        boxes: (n, 4) x1, y1, x2, y2 in pixels.
        shape: (H, W).

    Returns:
        n times left, top, right, bottom, ends exclusive: a pixel more than
        the box on each side, as mmdet has it on a CPU.
    """
    height, width = shape
    windows = torch.cat((boxes[:, :2].floor() - 1, boxes[:, 2:].ceil() + 1), 1)
    limits = windows.new_tensor([width, height, width, height])
    return torch.minimum(windows.clamp(min=0), limits).long().tolist()


def _pasted(probs: Tensor, boxes: Tensor, shape: Tuple[int, int],
            threshold: float) -> Iterator[MaskPart]:
    """Yield the window of each mask."""
    windows = paste_windows(boxes, shape)
    for i, (left, top, right, bottom) in enumerate(windows):
        x1, y1, x2, y2 = boxes[i].float()
        grid = torch.stack(
            torch.broadcast_tensors(
                _places(left, right, x1, x2),
                _places(top, bottom, y1, y2)[:, None]), -1)  # (h, w, 2)
        values = F.grid_sample(
            probs[i].float()[None, None], grid[None], align_corners=False)
        yield MaskPart([i], values[0] >= threshold, top, left)


def _places(begin: int, end: int, first: Tensor, last: Tensor) -> Tensor:
    """Return where pixels lie in a frame, -1 to 1 from side to side."""
    pixels = torch.arange(begin, end, device=first.device) + 0.5
    # In a box without extent no pixel has a place.
    return (pixels - first) / (last - first).clamp(min=1e-6) * 2 - 1
