"""Instance masks painted into one map in which each pixel has one owner.

Legend: n instances of an image, H/W height and width in pixels.
"""
from typing import Tuple

import torch
from torch import Tensor

#: Who owns a pixel that several masks claim.
OVERLAPS = ('small_on_top', 'last_on_top')


def paint_instances(masks: Tensor,
                    overlap: str = 'small_on_top') -> Tuple[Tensor, Tensor]:
    """Paint masks over each other.

    Args:
        masks: (n, H, W) uint8 or bool.
        overlap: ``small_on_top`` paints by decreasing area, the later of
            equal ones on top; ``last_on_top`` in the given order.

    Returns:
        (H, W) int64 map, 0 for none and 1 to m for the instances of which
        something can be seen, and their (m,) ascending indices.

    Raises:
        ValueError: if ``overlap`` is not one of the two.
    """
    if overlap not in OVERLAPS:
        raise ValueError(f'`overlap` of paint_instances must be one of '
                         f'{OVERLAPS}, got {overlap!r}.')
    masks = masks.bool()
    order = torch.arange(len(masks), device=masks.device)
    if overlap == 'small_on_top':
        order = masks.flatten(1).sum(1).argsort(descending=True, stable=True)
    painted = torch.zeros(
        masks.shape[1:], dtype=torch.long, device=masks.device)
    for index in order.tolist():
        painted.masked_fill_(masks[index], index + 1)
    seen = torch.bincount(painted.flatten(), minlength=len(masks) + 1) > 0
    seen[0] = False
    visible = seen.nonzero().flatten() - 1
    number = torch.zeros_like(seen, dtype=torch.long)
    number[visible + 1] = torch.arange(
        1, len(visible) + 1, device=masks.device)
    return number[painted], visible
