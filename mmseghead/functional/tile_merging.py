"""Overlapping tiles of a large image, and their detections made one.

Legend: n detections of all tiles, H/W height and width of the whole image. A
tile is (top, left, bottom, right) in its pixels, ends exclusive.

Not from a paper. Others join tiles by the IoU of boxes or by the share of the
smaller box that the larger one covers (SAHI). Here two tiles are asked only
about what both of them see: cut off at a border or not, their masks of one
object agree there.
"""
import math
from typing import Dict, Iterator, List, NamedTuple, Sequence, Tuple

import numpy as np
from pycocotools import mask as mask_util

from .mask_rle import RLE, place_rle
from .mask_voting import rle_ious

Tile = Tuple[int, int, int, int]

# A mask that comes this close to a tile's side within the image was cut off:
# masks are drawn at a fraction of the image's resolution.
_CUT_PX = 5


class TileDetections(NamedTuple):
    """What was found in one tile."""

    tile: Tile
    masks: List[RLE]  #: in pixels of the tile
    scores: np.ndarray  #: (n,)
    labels: np.ndarray  #: (n,)


class MergedDetections(NamedTuple):
    """What was found in the image, by falling score."""

    masks: List[RLE]  #: in pixels of the image
    scores: np.ndarray  #: (n,)
    labels: np.ndarray  #: (n,)


class _Candidates(NamedTuple):
    """Detections of all tiles, in pixels of the image."""

    masks: List[RLE]
    scores: np.ndarray
    labels: np.ndarray
    tiles: np.ndarray  #: (n,) which tile
    boxes: np.ndarray  #: (n, 4) xyxy
    cut: np.ndarray  #: (n,) bool


def plan_tiles(size: Tuple[int, int], tile: int,
               overlap: float = 0.25) -> List[Tile]:
    """Cover an image with tiles of one size.

    Args:
        size: (H, W).
        tile: Side of a tile; sides of the image that are smaller are not
            divided.
        overlap: Share of a tile's side that it has in common with the next
            one, at least; in [0, 1). Objects up to this size are whole in
            some tile.

    Returns:
        The tiles, row by row; all are equally large.

    Raises:
        ValueError: if ``tile`` is below 1 or ``overlap`` out of its range.
    """
    if tile < 1:
        raise ValueError(f'`tile` must be at least 1 pixel, got {tile!r}.')
    if not 0 <= overlap < 1:
        raise ValueError(f'`overlap` must be in [0, 1), got {overlap!r}.')
    rows, columns = (_begins(side, tile, overlap) for side in size)
    height, width = (min(side, tile) for side in size)
    return [(top, left, top + height, left + width) for top in rows
            for left in columns]


def _begins(side: int, tile: int, overlap: float) -> List[int]:
    if side <= tile:
        return [0]
    step = max(math.floor(tile * (1 - overlap)), 1)
    number = math.ceil((side - tile) / step) + 1
    return np.linspace(0, side - tile, number).round().astype(int).tolist()


def merge_tiles(found: Sequence[TileDetections],
                size: Tuple[int, int],
                agree_thr: float = 0.5,
                inside_thr: float = 0.7) -> MergedDetections:
    """Merge the detections of overlapping tiles.

    Two detections of one class are one object if, in the part of the image
    that both tiles see, the IoU of their masks is at least ``agree_thr``;
    each has at most one partner in another tile. Of an object found whole,
    the best whole detection is kept. If all have been cut off at the border
    of their tile, their masks are joined, and their scores averaged by area.
    A detection that was cut off and lies mostly within another tile's is
    dropped: a piece of an object that found no partner.

    Args:
        found: What each tile found.
        size: (H, W).
        agree_thr: See above, in (0, 1].
        inside_thr: Share of a piece's pixels within another one.
    """
    candidates = _gather(found, size)
    groups = _connected(
        len(candidates.masks), _pairs(candidates, found, size, agree_thr))
    masks, scores, labels, rows = [], [], [], []
    for group in groups:
        mask, score = _joined(candidates, group)
        masks.append(mask)
        scores.append(score)
        labels.append(candidates.labels[group[0]])
        rows.append(group)
    kept = _without_pieces(candidates, masks, labels, rows, inside_thr)
    order = [i for i in np.argsort(-np.array(scores), kind='stable')
             if i in kept]
    return MergedDetections([masks[i] for i in order],
                            np.array([scores[i] for i in order], np.float32),
                            np.array([labels[i] for i in order], np.int64))


def _gather(found: Sequence[TileDetections],
            size: Tuple[int, int]) -> _Candidates:
    """Move all detections into the image; empty masks are left out."""
    masks, scores, labels, tiles = [], [], [], []
    for number, part in enumerate(found):
        for mask, score, label in zip(part.masks, part.scores, part.labels):
            if mask_util.area(mask):
                masks.append(place_rle(mask, *part.tile[:2], size))
                scores.append(score)
                labels.append(label)
                tiles.append(number)
    boxes = np.zeros((0, 4))
    if masks:
        boxes = mask_util.toBbox(masks)
        boxes[:, 2:] += boxes[:, :2]
    tiles = np.array(tiles, int)
    sides = np.array([part.tile for part in found]).reshape(-1, 4)[tiles]
    # Sides of the image itself cut nothing off.
    begins = np.where(sides[:, [1, 0]] > 0, sides[:, [1, 0]] + _CUT_PX, -1)
    limits = np.array(size)[::-1]
    ends = np.where(sides[:, [3, 2]] < limits, sides[:, [3, 2]] - _CUT_PX,
                    limits + 1)
    cut = (boxes[:, :2] < begins) | (boxes[:, 2:] > ends)
    return _Candidates(masks, np.array(scores, float), np.array(labels, int),
                       tiles, boxes, cut.any(1))


def _pairs(all_: _Candidates, found: Sequence[TileDetections],
           size: Tuple[int, int],
           agree_thr: float) -> Iterator[Tuple[int, int]]:
    """Yield pairs of detections of one object in two tiles."""
    for a, b in _overlapping([part.tile for part in found]):
        one, other = found[a].tile, found[b].tile
        common = (max(one[0], other[0]), max(one[1], other[1]),
                  min(one[2], other[2]), min(one[3], other[3]))
        rows_a, rows_b = (_within(all_, number, common) for number in (a, b))
        if not len(rows_a) or not len(rows_b):
            continue
        frame = _rectangle(common, size)
        ious = rle_ious(*([
            mask_util.merge([all_.masks[row], frame], intersect=True)
            for row in rows
        ] for rows in (rows_a, rows_b)))
        ious *= all_.labels[rows_a][:, None] == all_.labels[rows_b]
        while ious.max() >= agree_thr:
            i, j = np.unravel_index(ious.argmax(), ious.shape)
            yield int(rows_a[i]), int(rows_b[j])
            ious[i], ious[:, j] = -1, -1


def _overlapping(tiles: Sequence[Tile]) -> Iterator[Tuple[int, int]]:
    for b, other in enumerate(tiles):
        for a, one in enumerate(tiles[:b]):
            if max(one[0], other[0]) < min(one[2], other[2]) and max(
                    one[1], other[1]) < min(one[3], other[3]):
                yield a, b


def _within(all_: _Candidates, tile: int, part: Tile) -> np.ndarray:
    """Return the rows of a tile whose boxes reach into a part of it."""
    top, left, bottom, right = part
    boxes = all_.boxes
    return np.flatnonzero((all_.tiles == tile) & (boxes[:, 0] < right)
                          & (boxes[:, 2] > left) & (boxes[:, 1] < bottom)
                          & (boxes[:, 3] > top))


def _rectangle(part: Tile, size: Tuple[int, int]) -> RLE:
    top, left, bottom, right = part
    box = np.array([[left, top, right - left, bottom - top]], float)
    return mask_util.frPyObjects(box, *size)[0]


def _connected(number: int,
               pairs: Iterator[Tuple[int, int]]) -> List[List[int]]:
    """Return the groups of rows that pairs connect, alone ones among them."""
    owner = list(range(number))

    def root(row: int) -> int:
        while owner[row] != row:
            owner[row] = owner[owner[row]]
            row = owner[row]
        return row

    for a, b in pairs:
        owner[root(b)] = root(a)
    groups: Dict[int, List[int]] = {}
    for row in range(number):
        groups.setdefault(root(row), []).append(row)
    return list(groups.values())


def _joined(all_: _Candidates, rows: List[int]) -> Tuple[RLE, float]:
    """Return mask and score of one object."""
    whole = [row for row in rows if not all_.cut[row]]
    if whole:
        best = max(whole, key=lambda row: all_.scores[row])
        return all_.masks[best], all_.scores[best]
    masks = [all_.masks[row] for row in rows]
    score = np.average(all_.scores[rows], weights=mask_util.area(masks))
    return mask_util.merge(masks), float(score)


def _without_pieces(all_: _Candidates, masks: List[RLE], labels: List[int],
                    groups: List[List[int]], inside_thr: float) -> set:
    """Return which objects stay."""
    pieces = [
        i for i, rows in enumerate(groups)
        if len(rows) == 1 and all_.cut[rows[0]]
    ]
    kept = set(range(len(masks)))
    if not pieces:
        return kept
    # As for crowds: the share of the first one that the second covers.
    shares = mask_util.iou([masks[i] for i in pieces], masks,
                           [1] * len(masks))
    for share, i in zip(shares, pieces):
        tile = all_.tiles[groups[i][0]]
        for j in np.flatnonzero(share >= inside_thr):
            elsewhere = any(all_.tiles[row] != tile for row in groups[j])
            # Of two pieces within each other the larger one stays.
            smaller = (mask_util.area(masks[i]), -i) < (mask_util.area(
                masks[j]), -j)
            if j != i and labels[j] == labels[i] and elsewhere and smaller:
                kept.discard(i)
    return kept
