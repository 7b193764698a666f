"""Outlines of masks along pixel edges: exact, with holes and parts.

Legend: H/W height and width of a mask in pixels, L points of an outline.
Points are (x, y) on the continuous plane, where pixel (0, 0) covers [0, 1] x
[0, 1]: the frame of COCO's polygons. (``contours`` traces pixel indices.)
"""
import math
from typing import List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np

_CHUNK = 1 << 20


class Part(NamedTuple):
    """A connected part of a mask: its outer outline, and one of each hole."""

    outer: np.ndarray
    holes: List[np.ndarray]


def mask_outlines(mask: np.ndarray) -> List[Part]:
    """Return the outlines of a mask along the edges of its pixels.

    Pixels that touch at a corner are connected, so that an outline may pass
    a point twice. Filled by the even-odd rule, the outlines of a part give
    back its pixels; pycocotools fills a polygon this way.

    Args:
        mask: (H, W) bool or uint8 of 0 and 1.

    Returns:
        Parts with (L, 2) int32 corners, L >= 4; none without foreground.
    """
    mask = np.asarray(mask).astype(bool, copy=False)
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return []
    top, left = rows[0], columns[0]
    crop = mask[top:rows[-1] + 1, left:columns[-1] + 1]
    contours, hierarchy = cv2.findContours(
        _with_edges(crop), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    offset = np.array([left, top], np.int32)
    parts = {
        index: Part(_corners(contours[index]) + offset, [])
        for index in np.flatnonzero(hierarchy[0, :, 3] < 0).tolist()
    }
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0].tolist()):
        if parent >= 0:
            parts[parent].holes.append(_corners(contour) + offset)
    return list(parts.values())


def _with_edges(mask: np.ndarray) -> np.ndarray:
    """Return (2H + 1, 2W + 1): pixels at odd places, edges at even ones.

    Edges and corners belong to the foreground, if one of their pixels does.
    """
    height, width = mask.shape
    cells = np.zeros((2 * height + 1, 2 * width + 1), np.uint8)
    for dy in range(3):
        for dx in range(3):
            cells[dy:dy + 2 * height - 1:2, dx:dx + 2 * width - 1:2] |= mask
    return cells


def _corners(contour: np.ndarray) -> np.ndarray:
    """Return the corners of a contour of ``_with_edges``, in pixels."""
    points = contour[:, 0]  # (L, 2)
    after = np.roll(points, -1, axis=0)
    # OpenCV takes the short way at an inner corner, from the middle of an
    # edge to the middle of the next; the corner between is even in x and y.
    is_cut = (points != after).all(1)
    even = points % 2 == 0
    corner = np.where(even, points, after)
    points = np.stack([points, corner], 1)  # (L, 2, 2)
    is_kept = np.stack([even.all(1), is_cut], 1)
    points = points[is_kept] // 2
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    is_bend = ((points - before) != (after - points)).any(1)
    return points[is_bend]


def bridge_outlines(outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Join outlines into one by bridges of no width.

    Each is joined to those before it from corner to nearest corner, there and
    back. Under the even-odd rule the bridges vanish, so that parts and holes
    stay what they are.

    Args:
        outlines: At least one, each (L, 2), L >= 1.

    Returns:
        (L, 2), dtype of the first; the end joins the start.

    Raises:
        ValueError: if there is no outline.
    """
    if not len(outlines):
        raise ValueError('`outlines` of bridge_outlines must not be empty.')
    # (outline, corner) in the order of the joined one.
    keys = [(0, i) for i in range(len(outlines[0]))]
    # For each outline that is left: distance, corner to leave, own corner.
    best = {
        i: (*_nearest(outlines[0], outlines[i]), 0)
        for i in range(1, len(outlines))
    }
    while best:
        child = min(best, key=best.__getitem__)
        _, corner, start, parent = best.pop(child)
        count = len(outlines[child])
        ring = [(child, (start + i) % count) for i in range(count + 1)]
        place = keys.index((parent, corner)) + 1
        keys[place:place] = ring + [(parent, corner)]
        for other, found in best.items():
            best[other] = min(
                found, (*_nearest(outlines[child], outlines[other]), child))
    return np.stack([outlines[i][j] for i, j in keys])


def _nearest(a: np.ndarray, b: np.ndarray) -> Tuple[float, int, int]:
    """Return squared distance and indices of the nearest two points."""
    best = (math.inf, 0, 0)
    step = max(_CHUNK // len(b), 1)
    for first in range(0, len(a), step):
        apart = a[first:first + step, None].astype(np.float64) - b[None]
        distance = (apart**2).sum(2)  # (step, L of b)
        i, j = np.unravel_index(distance.argmin(), distance.shape)
        best = min(best, (float(distance[i, j]), first + int(i), int(j)))
    return best


def simplify_outline(outline: np.ndarray, tolerance_px: float) -> np.ndarray:
    """Leave out points of a mask's outline that move it by little.

    The middles of pixel edges are simplified, not the corners: a slanted
    border is a staircase, whose middles lie on a line.

    Args:
        outline: (L, 2) ints, from ``mask_outlines``.
        tolerance_px: How far the line through the middles may move (Douglas
            and Peucker's rule); 0 keeps the outline as it is.

    Returns:
        (L', 2), at least 3 points; the outline itself where fewer would be
        left.
    """
    if tolerance_px <= 0:
        return outline
    after = np.roll(outline, -1, axis=0)
    lengths = np.abs(after - outline).max(1)
    first = np.repeat(lengths.cumsum() - lengths, lengths)
    step = (np.arange(lengths.sum()) - first + 0.5) / lengths.repeat(lengths)
    middles = outline.repeat(lengths, 0) + \
        (after - outline).repeat(lengths, 0) * step[:, None]
    short = cv2.approxPolyDP(
        middles.astype(np.float32)[:, None], tolerance_px, True)[:, 0]
    return short if len(short) >= 3 else outline


def ellipse_outline(center: Tuple[float, float],
                    radii: Tuple[float, float],
                    angle_rad: float = 0.0,
                    tolerance_px: float = 0.05) -> np.ndarray:
    """Return an ellipse as a polygon of the same area.

    Args:
        center: (x, y).
        radii: Half axes, > 0; the first lies along ``angle_rad``.
        angle_rad: Clockwise on screen, from +x.
        tolerance_px: How far the sides may be off the ellipse.

    Returns:
        (L, 2) float64, L >= 12.
    """
    ratio = min(tolerance_px / max(radii), 1.0)
    count = max(12, math.ceil(math.pi / math.acos(1 - ratio)))
    turn = 2 * math.pi / count
    # A polygon inside the ellipse would be smaller than it.
    scale = math.sqrt(turn / math.sin(turn))
    angles = turn * np.arange(count)
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * radii * scale
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    return points @ np.array([[cos, sin], [-sin, cos]]) + np.array(center)


def clip_outline(outline: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Cut a polygon off at the border of an image.

    Args:
        outline: (L, 2).
        size: (H, W) of the image.

    Returns:
        (L', 2) float64 with x in [0, W] and y in [0, H]; (0, 2) if nothing
        is inside. Fills the same pixels of the image.

    Source: Sutherland and Hodgman, "Reentrant Polygon Clipping" (1974).
    """
    points = np.asarray(outline, np.float64)
    for axis, bound, sign in ((0, 0, 1), (0, size[1], -1), (1, 0, 1),
                              (1, size[0], -1)):
        if not len(points):
            break
        inside = sign * (points[:, axis] - bound)  # >= 0: inside
        after, inside_after = np.roll(points, -1, 0), np.roll(inside, -1)
        is_crossing = (inside < 0) != (inside_after < 0)
        gap = np.where(is_crossing, inside - inside_after, 1.0)
        middle = points + (after - points) * (inside / gap)[:, None]
        middle[:, axis] = bound
        points = np.stack([points, middle], 1)  # (L, 2, 2)
        points = points[np.stack([inside >= 0, is_crossing], 1)]
    return points
