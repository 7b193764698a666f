"""Grouping instances whose boxes do not overlap.

Source: FCOSIS, section 3.2.1, "Efficient attention map propagation": one
forward pass of the segmentation head serves all instances of a colour.
"""
import numpy as np
import torch
from torch import Tensor


def color_boxes(boxes: Tensor) -> Tensor:
    """Colour the graph of overlapping boxes, Largest-First.

    Two boxes are neighbours if they share an area; touching ones do not.
    Boxes are taken by falling number of neighbours, of equals the first one
    first, and each gets the smallest colour that no neighbour has.

    Args:
        boxes: (n, 4) x1, y1, x2, y2.

    Returns:
        (n,) int64 colours from 0, on the boxes' device; at most one colour
        more than the largest number of neighbours.
    """
    # One transfer; a greedy colouring is sequential.
    corners = boxes.detach().float().cpu().numpy()
    first = np.maximum(corners[:, None, :2], corners[None, :, :2])
    last = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    overlaps = (last > first).all(2)
    np.fill_diagonal(overlaps, False)
    colors = np.full(len(corners), -1)
    for box in np.argsort(-overlaps.sum(1), kind='stable'):
        taken = np.unique(colors[overlaps[box]])
        taken = taken[taken >= 0]
        # The first place where the sorted colours leave a gap.
        gaps = np.flatnonzero(taken != np.arange(len(taken)))
        colors[box] = gaps[0] if len(gaps) else len(taken)
    return torch.from_numpy(colors.astype(np.int64)).to(boxes.device)
