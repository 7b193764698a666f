"""Masks of COCO JSON as compressed RLE, checked.

pycocotools reads whatever it is given: counts that do not add up to the image
overrun its buffers, and two points count as a box.
"""
import math
from typing import Any, Dict, List

import numpy as np
from pycocotools import mask as mask_api

_MOST = 1e6  # pixels; a polygon's memory grows with its length


def run_lengths(counts: bytes) -> np.ndarray:
    """Decode the counts of a compressed RLE.

    Args:
        counts: Characters of six bits each: five of data and one that says
            whether the number goes on. From the fourth on, numbers are
            differences from the last but one.

    Returns:
        (N,) int, lengths of runs of background and object in turns.

    Raises:
        ValueError: if these are no such characters, or a number is cut.

    Source: the format that pycocotools 2.0 writes (``maskApi.c``).
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    last = (codes & 32) == 0
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise ValueError('no counts of a compressed RLE')
    ends = np.flatnonzero(last)
    starts = np.append(0, ends[:-1] + 1)
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 6:
        raise ValueError('a count of more than 32 bits')
    values = np.add.reduceat((codes & 31) << (5 * place), starts)
    negative = (codes[ends] & 16) != 0
    values -= negative * (np.int64(1) << (5 * (ends - starts + 1)))
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def to_rle(where: str, segmentation: Any, height: int,
           width: int) -> Dict[str, Any]:
    """Return a mask of COCO JSON as compressed RLE.

    Args:
        where: Names the entry in errors.
        segmentation: RLE, compressed or not, or a list of polygons, each
            x1, y1, x2, y2, ... of at least three points.
        height: Of the image.
        width: Of the image.

    Returns:
        ``size`` [height, width] and ``counts`` as bytes.

    Raises:
        ValueError: if the mask is missing, malformed, or of another size.
    """
    if isinstance(segmentation, dict):
        return _from_rle(where, segmentation, height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(f'{where} must have a `segmentation`, RLE or a list '
                         f'of polygons, got {segmentation!r:.80}.')
    for polygon in segmentation:
        _check_polygon(where, polygon)
    return mask_api.merge(mask_api.frPyObjects(segmentation, height, width))


def _check_polygon(where: str, polygon: Any) -> None:
    fits = isinstance(polygon, list) and len(polygon) >= 6 and \
        len(polygon) % 2 == 0 and all(
            isinstance(x, (int, float)) and math.isfinite(x) and
            abs(x) <= _MOST for x in polygon)
    if not fits:
        raise ValueError(
            f'{where} must have polygons of three points or more, each a '
            f'list x1, y1, x2, y2, ... of numbers, got {polygon!r:.80}.')


def _from_rle(where: str, rle: Dict[str, Any], height: int,
              width: int) -> Dict[str, Any]:
    size, counts = rle.get('size'), rle.get('counts')
    if size is None or list(size) != [height, width]:
        raise ValueError(
            f'{where} must have an RLE of size [height, width] = [{height}, '
            f'{width}] like its image, got {size!r}. Was it predicted on '
            'resized images, or are height and width swapped?')
    runs: Any = None
    try:
        if isinstance(counts, list):
            runs = np.array(counts, dtype=np.int64)
        elif isinstance(counts, (str, bytes)):
            text = counts.encode('ascii') if isinstance(counts,
                                                        str) else counts
            runs = run_lengths(text)
    except (ValueError, TypeError, OverflowError):
        runs = None
    if runs is None or runs.ndim != 1 or (runs < 0).any() or \
            runs.sum() != height * width:
        raise ValueError(
            f'{where} must have RLE counts that are >= 0 and add up to '
            f'{height} * {width} pixels, got {counts!r:.60}.')
    if isinstance(counts, list):
        plain = dict(size=[height, width], counts=[int(n) for n in runs])
        return mask_api.frPyObjects(plain, height, width)
    return dict(size=[height, width], counts=text)


def box_of(mask: Dict[str, Any]) -> List[float]:
    """Return the box x, y, w, h around a mask.

    Args:
        mask: Compressed RLE.
    """
    return mask_api.toBbox(mask).tolist()


def mask_area(mask: Dict[str, Any]) -> float:
    """Return the pixels of a mask.

    Args:
        mask: Compressed RLE.
    """
    return float(mask_api.area(mask))
