"""Masks made part by part, within the process's memory budget.

Legend: n masks, k of them at a time, H/W height and width of the image.
"""
from typing import Iterable, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from mmdet.structures.mask import mask2bbox
from torch import Tensor

from mmseghead.utils.mask_budget import mask_budget_bytes
from mmseghead.utils.stage_marks import marked
from .mask_rle import EncodedMasks, encode_mask, encode_window

Masks = Union[Tensor, EncodedMasks]

# More than any image has instances.
_ALL = 2**62


class MaskPart(NamedTuple):
    """Some masks, in a window outside of which they are false."""

    rows: Sequence[int]  #: k, their places among the n
    masks: Tensor  #: (k, h, w) bool
    top: int = 0
    left: int = 0


def masks_fit(num: int, size: Tuple[int, int]) -> bool:
    """Whether n masks may be a tensor: they take at most half the budget."""
    budget = mask_budget_bytes()
    return budget is None or num * size[0] * size[1] <= budget // 2


def masks_per_pass(bytes_per_mask: int, overhead: int = 0) -> int:
    """Return how many masks may be worked on at once.

    Args:
        bytes_per_mask: What the work on one mask holds at its peak.
        overhead: What it holds besides, however many masks there are.

    Returns:
        At least 1; half of the budget is for the work.
    """
    budget = mask_budget_bytes()
    if budget is None:
        return _ALL
    return max((budget // 2 - overhead) // max(bytes_per_mask, 1), 1)


def collect_masks(parts: Iterable[MaskPart], num: int, size: Tuple[int, int],
                  device: Optional[torch.device] = None) -> Masks:
    """Put parts together, as a tensor if that fits the budget.

    Args:
        parts: All n masks, each once, in any order; a generator that keeps
            no name for what it has yielded, so that one part lives at a time.
        num: n.
        size: (H, W).
        device: Of the tensor.

    Returns:
        (n, H, W) bool tensor or ``EncodedMasks`` of the same pixels.
    """
    size = int(size[0]), int(size[1])
    with marked('paste'):
        if masks_fit(num, size):
            return _joined(parts, num, size, device)
        return _encoded(parts, num, size)


def _joined(parts: Iterable[MaskPart], num: int, size: Tuple[int, int],
            device: Optional[torch.device]) -> Tensor:
    masks = None
    for part in parts:
        if part.masks.shape == (num, *size) and part.rows == range(num):
            return part.masks
        if masks is None:
            masks = torch.zeros((num, *size), dtype=torch.bool, device=device)
        height, width = part.masks.shape[1:]
        for row, mask in zip(part.rows, part.masks):
            masks[row, part.top:part.top + height,
                  part.left:part.left + width] = mask
        del part, mask  # gone before the next one is made
    if masks is None:
        return torch.zeros((num, *size), dtype=torch.bool, device=device)
    return masks


def _encoded(parts: Iterable[MaskPart], num: int,
             size: Tuple[int, int]) -> EncodedMasks:
    empty = encode_window(np.zeros((1, 1), bool), 0, 0, size)
    rles = [empty] * num
    for part in parts:
        for row, mask in zip(part.rows, part.masks):
            if mask.shape == size:
                rles[row] = encode_mask(mask)
            else:
                rles[row] = encode_window(mask.cpu().numpy(), part.top,
                                          part.left, size)
        del part, mask  # gone before the next one is made
    return EncodedMasks(rles, size)


def boxes_of_masks(masks: Masks) -> Tensor:
    """Return the (n, 4) float32 tight boxes, zeros where a mask is empty.

    From a mask's first pixel's outer edge to its last one's, xyxy.
    """
    if isinstance(masks, EncodedMasks):
        return masks.boxes()
    return mask2bbox(masks)
