"""The Pareto front of points in a plot, and free places for their labels."""
from typing import List, Optional, Sequence, Tuple

import numpy as np

#: Directions and distances (units of the plot) in which a label's place is
#: sought.
_ANGLES = np.deg2rad([
    0, 180, 45, 135, 315, 225, 90, 270, 22, 158, 338, 202, 68, 112, 248, 292
])
_DISTANCES = (9.0, 14.0, 20.0, 27.0, 36.0, 46.0, 58.0, 72.0, 88.0)


def pareto_front(costs: Sequence[float],
                 values: Sequence[float]) -> List[int]:
    """Return which points no other one beats.

    A point is beaten if another costs no more and is worth no less, and is
    better in one of them; of equal points the first counts.

    Args:
        costs: Lower is better.
        values: Higher is better, as many.

    Returns:
        Indices by growing cost, and thereby growing value; empty for none.

    Raises:
        ValueError: if the numbers of costs and values differ.
    """
    if len(costs) != len(values):
        raise ValueError('`costs` and `values` of pareto_front must be of one '
                         f'length, got {len(costs)} and {len(values)}.')
    front: List[int] = []
    best = -np.inf
    for i in sorted(range(len(costs)), key=lambda i: (costs[i], -values[i])):
        if values[i] > best:
            front.append(i)
            best = values[i]
    return front


def box_around(x: float, y: float, half_width: float,
               half_height: float) -> np.ndarray:
    """Return the box (x1, y1, x2, y2) around a centre."""
    return np.array(
        [x - half_width, y - half_height, x + half_width, y + half_height])


def front_boxes(corners: np.ndarray, scale: float = 1.0) -> List[np.ndarray]:
    """Return boxes that cover the steps through a Pareto front's points.

    Args:
        corners: (N, 2) points of the front by growing cost, and last the end
            of its line; in the plot's units.
        scale: Units of a point of print: half the width of a step's box.

    Returns:
        One box for each horizontal and each vertical piece, 2 * (N - 1).
    """
    boxes = []
    for (x1, y1), (x2, y2) in zip(corners, corners[1:]):
        for ends in (((x1, y1), (x2, y1)), ((x2, y1), (x2, y2))):
            ends = np.array(ends)
            boxes.append(
                np.concatenate((ends.min(0) - scale, ends.max(0) + scale)))
    return boxes


def free_place(spot: np.ndarray,
               size: Tuple[float, float],
               taken: Sequence[np.ndarray],
               frame: np.ndarray,
               scale: float = 1.0) -> Tuple[Tuple[float, float], np.ndarray]:
    """Return the best offset of a label's centre from its point, and its box.

    Best is what covers least of the boxes taken and of the outside of the
    frame; of equal places the first tried, which is the nearest.

    Args:
        spot: (2,) the point, in the plot's units.
        size: Width and height of the label.
        taken: Boxes (x1, y1, x2, y2) of what is there already.
        frame: The box to stay in.
        scale: Units of a point of print, in which offsets are counted.

    Returns:
        (x, y) in points of print, and the box in units.
    """
    best: Optional[Tuple[float, Tuple[float, float], np.ndarray]] = None
    for distance in _DISTANCES:
        for angle in _ANGLES:
            # The label's near edge, not its centre, keeps the distance.
            dx = np.cos(angle) * (distance * scale + size[0] / 2)
            dy = np.sin(angle) * (distance * scale + size[1] / 2)
            box = box_around(spot[0] + dx, spot[1] + dy, size[0] / 2 + scale,
                             size[1] / 2 + scale)
            outside = size[0] * size[1] - overlap(
                box_around(spot[0] + dx, spot[1] + dy, size[0] / 2,
                           size[1] / 2), frame)
            covered = sum(overlap(box, other) for other in taken) + outside
            if best is None or covered < best[0] - 1e-6:
                best = covered, (dx / scale, dy / scale), box
        if best[0] <= 1e-6:
            break
    return best[1], best[2]


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the area that two boxes (x1, y1, x2, y2) share."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    return float(np.prod(np.maximum(sides, 0)))
