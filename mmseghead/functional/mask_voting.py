"""Detections of several views of one image made one.

Legend: V views, n detections of all views together.

Not from a paper: weighted boxes fusion (Solovyev et al., arXiv:1910.13302)
with the IoU of masks in place of that of boxes, and a vote of pixels.
"""
from typing import List, Optional, Sequence, Tuple

import numpy as np
import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from pycocotools import mask as mask_util
from torch import Tensor

from .mask_rle import RLE, EncodedMasks, encode_window


def rle_ious(one: Sequence[RLE], other: Sequence[RLE]) -> np.ndarray:
    """Return the (n, m) IoUs of masks of one image, 0 for empty ones."""
    if not len(one) or not len(other):
        return np.zeros((len(one), len(other)))
    ious = mask_util.iou(list(one), list(other), [0] * len(other))
    return np.nan_to_num(ious)


def vote(views: Sequence[InstanceData], iou_thr: float = 0.5,
         max_per_img: Optional[int] = None) -> InstanceData:
    """Merge the detections of several views.

    Best first, a detection joins the group whose first one has its class and
    the highest IoU with it, of at least ``iou_thr``; a group has at most one
    of each view. A pixel belongs to the merged mask if members with at least
    half of the group's scores say so. Boxes are the mean, weighted by score.
    The score is the sum of the members' over the number of views: what some
    views miss loses.

    Args:
        views: Of each view ``bboxes``, ``scores``, ``labels`` and, unless the
            model has none, ``masks`` as ``EncodedMasks``; all in pixels of
            the same image. At least one.
        iou_thr: Of masks, or of boxes if there are no masks.
        max_per_img: Detections kept; all if None.

    Returns:
        The same fields, by falling score.
    """
    found = InstanceData.cat(list(views))
    origin = torch.cat([
        torch.full((len(view), ), i) for i, view in enumerate(views)
    ]).tolist()
    groups = _groups(found, origin, iou_thr)
    scores = [found.scores[rows].sum() / len(views) for rows in groups]
    scores = torch.stack(scores) if scores else found.scores[:0]
    order = scores.argsort(descending=True, stable=True)[:max_per_img]
    groups = [groups[i] for i in order.tolist()]
    merged = InstanceData(
        bboxes=_mean_boxes(found, groups),
        scores=scores[order],
        labels=found.labels[[rows[0] for rows in groups]])
    if 'masks' in found:
        rles = [
            majority([found.masks[row] for row in rows],
                     found.scores[rows].tolist()) for rows in groups
        ]
        merged.masks = EncodedMasks(rles, found.masks.size)
    return merged


def _groups(found: InstanceData, origin: Sequence[int],
            iou_thr: float) -> List[List[int]]:
    """Return the rows of each group, the best first."""
    if 'masks' in found:
        ious = rle_ious(found.masks.rles, found.masks.rles)
    else:
        ious = bbox_overlaps(found.bboxes, found.bboxes).cpu().numpy()
    labels = found.labels.cpu().numpy()
    groups: List[List[int]] = []
    leaders = np.zeros(0, int)
    for row in found.scores.argsort(descending=True, stable=True).tolist():
        close = ious[row, leaders] * (labels[leaders] == labels[row])
        joined = next(
            (groups[i] for i in np.argsort(-close, kind='stable')
             if close[i] >= iou_thr and origin[row] not in
             [origin[other] for other in groups[i]]), None)
        if joined is None:
            groups.append([row])
            leaders = np.append(leaders, row)
        else:
            joined.append(row)
    return groups


def _mean_boxes(found: InstanceData, groups: Sequence[List[int]]) -> Tensor:
    boxes = found.bboxes[:0]
    means = []
    for rows in groups:
        weights = found.scores[rows].clamp(min=1e-9)[:, None]
        means.append((found.bboxes[rows] * weights).sum(0) / weights.sum())
    return torch.stack(means) if means else boxes


def majority(rles: Sequence[RLE], weights: Sequence[float]) -> RLE:
    """Return the pixels in which masks of at least half the weight agree.

    Args:
        rles: Masks of one image, at least one.
        weights: Of each, >= 0; equal ones if all are 0.
    """
    if len(rles) == 1:
        return rles[0]
    if not sum(weights):
        weights = [1.] * len(rles)
    size = tuple(rles[0]['size'])
    left, top, right, bottom = _window(rles)
    votes = np.zeros((bottom - top, right - left))
    for rle, weight in zip(rles, weights):
        votes += weight * mask_util.decode(rle)[top:bottom, left:right]
    # Rounding must not lose a tie.
    mask = votes >= sum(weights) * (0.5 - 1e-9)
    return encode_window(mask, top, left, size)


def _window(rles: Sequence[RLE]) -> Tuple[int, int, int, int]:
    """Return the whole-pixel box around all masks, not empty."""
    boxes = mask_util.toBbox(list(rles)).astype(int)
    boxes = boxes[boxes[:, 2] > 0]
    if not len(boxes):
        return 0, 0, 1, 1
    ends = boxes[:, :2] + boxes[:, 2:]
    return (*boxes[:, :2].min(0).tolist(), *ends.max(0).tolist())
