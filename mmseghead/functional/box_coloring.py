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
    x1, y1, x2, y2 = boxes.detach().float().cpu().numpy().T
    overlaps = np.minimum.outer(x2, x2) > np.maximum.outer(x1, x1)
    overlaps &= np.minimum.outer(y2, y2) > np.maximum.outer(y1, y1)
    np.fill_diagonal(overlaps, False)
    number = len(x1)
    colors = np.full(number, -1)
    for box in np.argsort(-overlaps.sum(1), kind='stable'):
        # The last place takes what has no colour yet, -1.
        taken = np.zeros(number + 1, dtype=bool)
        taken[colors[overlaps[box]]] = True
        colors[box] = taken.argmin()
    return torch.from_numpy(colors).to(boxes.device)
