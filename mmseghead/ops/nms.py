"""Non-maximum suppression, soft-NMS, NMS groups and box overlaps.

Stand-ins with the signatures and the arithmetic of mmcv's compiled operators:
overlaps are computed in the order ``inter / (area_i + area_j - inter)`` in
single precision (double for double input), so that a pair lying exactly on
the threshold falls on the same side. N boxes, K kept boxes.
"""
import numpy as np
import torch
from torch import Tensor

# Boxes resolved at a time. A block costs one mask of its own size squared,
# and all that it keeps is compared with all that is still alive behind it:
# small blocks waste nothing on the CPU, large ones save round trips of a GPU.
CPU_BLOCK = 256
CUDA_BLOCK = 4096
# Pairs compared at a time: on the CPU few enough for the cache, on a GPU for
# its memory.
CPU_PAIRS = 1 << 15
CUDA_PAIRS = 1 << 24


def compute_dtype(tensor: Tensor) -> torch.dtype:
    """Return the precision to compute in: double for double, else single."""
    if tensor.dtype == torch.float64:
        return torch.float64
    return torch.float32


def _threshold(value: float, dtype: torch.dtype) -> float:
    """Round a threshold as the compiled operators do, whose type is float."""
    return value if dtype == torch.float64 else float(np.float32(value))


class _SortedBoxes:
    """Corner planes and areas of boxes in the order of their scores.

    Args:
        boxes: (N, 4), (x1, y1, x2, y2), pixels.
        offset: 0 or 1, what a box of equal corners measures in pixels.
    """

    def __init__(self, boxes: Tensor, offset: int) -> None:
        self.offset = offset
        planes = boxes.t().contiguous()  # (4, N)
        sides = planes[2:] - planes[:2]
        if offset:
            sides += offset
        self.planes = torch.cat([planes, (sides[0] * sides[1])[None]])

    def overlaps(self, rows: Tensor, columns: Tensor,
                 threshold: float) -> Tensor:
        """Return which pairs overlap by more than the threshold.

        Args:
            rows: (5, R) planes (x1, y1, x2, y2, area).
            columns: (5, M) planes.
            threshold: IoU above which a pair overlaps; a pair without area
                (0 / 0) never does.

        Returns:
            (R, M) bool.
        """
        rows = rows[:, :, None]
        columns = columns[:, None]  # (5, 1, M)
        inter = self._side(rows, columns, 0)
        inter *= self._side(rows, columns, 1)
        union = rows[4] + columns[4]
        union -= inter
        return inter.div_(union).gt(threshold)

    def _side(self, rows: Tensor, columns: Tensor, axis: int) -> Tensor:
        """Return the (R, M) common length of each pair along an axis."""
        side = torch.minimum(rows[2 + axis], columns[2 + axis])
        side -= torch.maximum(rows[axis], columns[axis])
        if self.offset:
            side += self.offset
        return side.clamp_(min=0)


def _pack_bits(mask: Tensor) -> np.ndarray:
    """Pack each row of a (R, M) bool mask into bytes, lowest bit first."""
    if mask.device.type == 'cpu':
        return np.packbits(mask.numpy(), axis=1, bitorder='little')
    return _pack_on_device(mask).cpu().numpy()


def _pack_on_device(mask: Tensor) -> Tensor:
    """Pack where the mask is, which leaves an eighth of it to be fetched."""
    rows, columns = mask.shape
    mask = torch.nn.functional.pad(mask, (0, -columns % 8)).view(rows, -1, 8)
    weights = 2**torch.arange(8, device=mask.device)
    return (mask * weights).sum(-1).to(torch.uint8)


def _greedy(mask: Tensor) -> list[int]:
    """Return the rows that survive when each survivor strikes its columns.

    Args:
        mask: (R, R) bool, [i, j] true if i strikes j; only j > i is read.

    Returns:
        Rows in ascending order.
    """
    packed = _pack_bits(mask)
    struck, kept = 0, []
    # One Python integer is a whole row: a step is one shift and one "or".
    for row, bits in enumerate(packed):
        if not struck >> row & 1:
            kept.append(row)
            struck |= int.from_bytes(bits.tobytes(), 'little')
    return kept


def _survivors(boxes: _SortedBoxes, kept: Tensor, rest: Tensor,
               threshold: float) -> Tensor:
    """Return the (M,) mask of the rest that no kept box overlaps."""
    pairs = CPU_PAIRS if rest.device.type == 'cpu' else CUDA_PAIRS
    step = max(1, pairs // max(1, rest.shape[1]))
    alive = torch.ones(rest.shape[1], dtype=torch.bool, device=rest.device)
    for part in kept.split(step, dim=1):
        alive &= ~boxes.overlaps(part, rest, threshold).any(dim=0)
    return alive


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float,
        offset: int) -> Tensor:
    """Keep each box that no better kept box overlaps too much.

    Args:
        boxes: (N, 4), (x1, y1, x2, y2), pixels, any dtype and device.
        scores: (N,).
        iou_threshold: a box is dropped if its IoU with a kept box exceeds it.
        offset: 0 or 1, added to each side of a box.

    Returns:
        (K,) int64 indices in descending order of score, equal scores in the
        order given; (0,) when N is 0.
    """
    order = torch.sort(scores, descending=True, stable=True).indices
    if boxes.numel() == 0:
        return order[:0]
    dtype = compute_dtype(boxes)
    threshold = _threshold(iou_threshold, dtype)
    planned = _SortedBoxes(boxes.detach().to(dtype)[order], offset)
    block = CPU_BLOCK if boxes.device.type == 'cpu' else CUDA_BLOCK
    alive, planes, kept = order, planned.planes, []
    while alive.numel():
        head, rest = planes[:, :block], planes[:, block:]
        mask = planned.overlaps(head, head, threshold)
        chosen = torch.tensor(_greedy(mask), device=boxes.device)
        kept.append(alive[:block][chosen])
        alive = alive[block:]
        if alive.numel():
            still = _survivors(planned, head[:, chosen], rest, threshold)
            index = still.nonzero()[:, 0]
            alive, planes = alive[index], rest[:, index]
    return torch.cat(kept)


def _corner_planes(boxes: Tensor, offset: int) -> np.ndarray:
    """Return a private (5, N) array of x1, y1, x2, y2 and area."""
    boxes = boxes.detach().to(compute_dtype(boxes)).cpu()
    return _SortedBoxes(boxes, offset).planes.numpy().copy()


def _overlaps_with(planes: np.ndarray, one: np.ndarray,
                   offset: int) -> np.ndarray:
    """Return the (M,) IoU of the boxes in ``planes`` with one (5,) box."""
    sides = np.minimum(planes[2:4], one[2:4, None])
    sides -= np.maximum(planes[:2], one[:2, None])
    sides += offset
    np.maximum(sides, 0, out=sides)
    inter = sides[0] * sides[1]
    with np.errstate(invalid='ignore', divide='ignore'):
        return inter / (one[4] + planes[4] - inter)


def _decay(overlaps: np.ndarray, method: int, threshold: float,
           sigma: float) -> np.ndarray:
    """Return the factor by which each overlap lowers a score."""
    if method == 2:
        return np.exp(-(overlaps * overlaps) / sigma)
    over = overlaps >= threshold
    return np.where(over, 1 - overlaps if method == 1 else 0, 1)


def softnms(boxes: Tensor, scores: Tensor, dets: Tensor, iou_threshold: float,
            sigma: float, min_score: float, method: int,
            offset: int) -> Tensor:
    """Lower the scores of boxes that overlap better ones.

    Args:
        boxes: (N, 4), (x1, y1, x2, y2), pixels.
        scores: (N,).
        dets: (N, 5), overwritten in its first K rows with box and new score
            in the order in which they were chosen.
        iou_threshold: IoU from which methods 0 and 1 act.
        sigma: of method 2.
        min_score: a box whose score falls below it is dropped.
        method: 0 naive (drop), 1 linear, 2 gaussian.
        offset: 0 or 1, added to each side of a box.

    Returns:
        (K,) int64 indices on the CPU.
    """
    planes = _corner_planes(boxes, offset)
    dtype = planes.dtype.type
    score = scores.detach().to(compute_dtype(boxes)).cpu().numpy()
    # Rows: x1, y1, x2, y2, area, score.
    table = np.concatenate([planes, score[None]])
    index = np.arange(table.shape[1])
    done, end = 0, table.shape[1]
    while done < end:
        best = done + _first_best(table[5, done:end])
        table[:, [done, best]] = table[:, [best, done]]
        index[[done, best]] = index[[best, done]]
        chosen, done = table[:, done], done + 1
        rest = slice(done, end)
        overlaps = _overlaps_with(table[:5, rest], chosen[:5], offset)
        table[5, rest] *= _decay(overlaps, method, dtype(iou_threshold),
                                 dtype(sigma))
        low = table[5, rest] < dtype(min_score)
        end = _drop(table, index, low, done)
    kept = torch.from_numpy(table[[0, 1, 2, 3, 5], :end].T.copy())
    dets[:end] = kept.to(dets)
    return torch.from_numpy(index[:end].copy())


def _first_best(scores: np.ndarray) -> int:
    """Return where the first of the largest scores is.

    Boxes without area make a gaussian decay of 0 / 0. Such a score is chosen
    only where it comes first, as nothing compares larger than it, and it
    compares larger than nothing.
    """
    if np.isnan(scores[0]):
        return 0
    return int(np.nanargmax(scores))


def _drop(table: np.ndarray, index: np.ndarray, low: np.ndarray,
          start: int) -> int:
    """Remove columns as mmcv does, and return the new number of columns.

    Each gap is filled with the last column that stays. The order matters
    where scores are equal, as the first of them is chosen next.
    """
    stays = np.flatnonzero(~low)
    count = len(stays)
    gaps = np.flatnonzero(low[:count])
    fill = stays[::-1][:len(gaps)]
    table[:, start + gaps] = table[:, start + fill]
    index[start + gaps] = index[start + fill]
    return start + count


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group each kept box with the boxes that it suppresses.

    Args:
        dets: (N, 5), (x1, y1, x2, y2, score).
        iou_threshold: a box joins the group of a better box if their IoU
            reaches it.

    Returns:
        One list of indices per kept box, that box first, then its group in
        descending order of score.
    """
    order = torch.sort(dets[:, 4], descending=True, stable=True).indices
    order = order.cpu().numpy()
    planes = _corner_planes(dets[:, :4], 0)
    threshold = planes.dtype.type(iou_threshold)
    groups = []
    while len(order):
        first, order = order[0], order[1:]
        overlaps = _overlaps_with(planes[:, order], planes[:, first], 0)
        close = overlaps >= threshold
        groups.append([int(first), *order[close].tolist()])
        order = order[~close]
    return groups


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int,
                  aligned: bool, offset: int) -> None:
    """Write the overlaps of two sets of boxes into ``ious``.

    Args:
        bboxes1: (M, 4), (x1, y1, x2, y2), pixels.
        bboxes2: (N, 4); N is M when aligned.
        ious: (M, N), or (M,) when aligned; overwritten.
        mode: 0 for intersection over union, 1 for intersection over the
            area of the first box.
        aligned: compare the boxes of each row only.
        offset: 0 or 1, added to each side of a box.
    """
    dtype = compute_dtype(bboxes1)
    first, second = bboxes1.to(dtype), bboxes2.to(dtype)
    if not aligned:
        first = first[:, None]  # (M, 1, 4)
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    inter = (high - low + offset).clamp(min=0).prod(-1)
    area = (first[..., 2:] - first[..., :2] + offset).prod(-1)
    if mode == 0:
        other = (second[..., 2:] - second[..., :2] + offset).prod(-1)
        area = area + other - inter
    ious.copy_(inter / area)
