"""Contours of masks: tracing, mass centre, filling.

Legend: N instances, L points of a contour, n rays, H/W height and width in
pixels. Points are pixel indices (x, y): (0, 0) is the top left pixel itself,
not its corner.

Source: PolarMask (xieenze/PolarMask), mmdet/datasets/coco_seg.py, and its
`polarmask_head.py` for the filling.
"""
from typing import Iterable, Iterator, Tuple

import cv2
import numpy as np
import torch
from torch import Tensor

from .mask_parts import MaskPart, Masks, collect_masks


def trace_contour(mask: np.ndarray) -> np.ndarray:
    """Return the outer border of a mask's largest component.

    Largest by the area that its contour encloses, the first of equals. Other
    components and all holes are lost.

    Args:
        mask: (H, W) bool or uint8 of 0 and 1.

    Returns:
        (L, 2) int32 border pixels in order, some of them twice where the
        shape is one pixel wide; (0, 2) without foreground.
    """
    mask = np.asarray(mask).astype(bool, copy=False)
    rows = np.flatnonzero(mask.any(1))
    if len(rows) == 0:
        return np.zeros((0, 2), np.int32)
    mask = mask[rows[0]:rows[-1] + 1]
    columns = np.flatnonzero(mask.any(0))
    # The crop changes no contour, and small objects are most of a data set.
    crop = mask[:, columns[0]:columns[-1] + 1].astype(np.uint8)
    contours, _ = cv2.findContours(crop, cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea)[:, 0]  # (L, 2)
    return largest + np.array([columns[0], rows[0]], np.int32)


def mass_center(contour: np.ndarray,
                legacy_v1: bool = False) -> Tuple[int, int]:
    """Return the centroid of the polygon through contour points.

    The centroid of the polygon, not of the pixels. Without area it is the
    mean of the points.

    Args:
        contour: (L, 2) int, L >= 1, coordinates >= 0.
        legacy_v1: Add floats in the order of the points, as the reference
            does. If a coordinate is a whole number, rounding errors may make
            it a pixel less; else both are equal.

    Returns:
        x and y, truncated to whole pixels.

    Raises:
        ValueError: if there is no point.
    """
    if len(contour) == 0:
        raise ValueError('`contour` of mass_center must have a point, got '
                         'none.')
    points = contour.astype(np.int64)
    before = np.roll(points, 1, axis=0)
    parts = points[:, 0] * before[:, 1] - points[:, 1] * before[:, 0]
    area = int(parts.sum())  # twice the polygon's
    if area == 0:
        x, y = points.mean(0)
        return int(x), int(y)
    if legacy_v1:
        halves = parts / 2.0
        moments = halves[:, None] * (points + before) / 3.0  # (L, 2)
        x, y = moments.cumsum(0)[-1] / halves.cumsum()[-1]
        return int(x), int(y)
    x, y = (parts[:, None] * (points + before)).sum(0).tolist()
    return x // (3 * area), y // (3 * area)


def pad_contours(
        contours: Iterable[np.ndarray],
        legacy_v1: bool = False
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Put contours into one array, with their mass centres.

    Args:
        contours: N arrays (L_i, 2) of int in the range of int16; an empty one
            stands for an instance without pixels.
        legacy_v1: As for ``mass_center``.

    Returns:
        (N, L, 2) int16 points, L being the longest, zeros behind the end of
        the shorter ones; (N,) int64 lengths; (N, 2) int64 mass centres, 0 for
        the empty ones.
    """
    contours = list(contours)
    lengths = np.array([len(c) for c in contours], np.int64)
    points = np.zeros((len(contours), lengths.max(initial=0), 2), np.int16)
    centers = np.zeros((len(contours), 2), np.int64)
    for i, contour in enumerate(contours):
        if len(contour):
            points[i, :len(contour)] = contour
            centers[i] = mass_center(contour, legacy_v1)
    return points, lengths, centers


def fill_contours(points: Tensor, img_shape: Tuple[int, int]) -> Masks:
    """Turn contours into masks, the border included.

    Args:
        points: (N, 2, n) integers, or whole numbers as floats; x in row 0.
            What lies outside of the image is cut off.
        img_shape: (H, W).

    Returns:
        (N, H, W) bool on the device of ``points``, as far as the memory
        budget allows (see `collect_masks`); (0, H, W) when N is 0.
    """
    return collect_masks(
        _filled(points, img_shape), len(points), img_shape, points.device)


def _filled(points: Tensor, img_shape: Tuple[int, int]) -> Iterator[MaskPart]:
    """Yield the window of each contour, drawn on one canvas in turn."""
    canvas = np.zeros(img_shape, np.uint8)
    limits = np.array(img_shape[::-1])
    polygons = points.detach().transpose(1, 2).cpu().numpy()  # (N, n, 2)
    for i, polygon in enumerate(polygons.astype(np.int32)):
        cv2.drawContours(canvas, [np.ascontiguousarray(polygon)], -1, 1, -1)
        left, top = polygon.min(0).clip(0, limits - 1)
        right, bottom = polygon.max(0).clip(0, limits - 1) + 1
        window = canvas[top:bottom, left:right]
        mask = torch.from_numpy(window.astype(bool)).to(points.device)
        window[:] = 0
        yield MaskPart([i], mask[None], int(top), int(left))
