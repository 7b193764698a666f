"""Instances of one image, and how much they overlap.

Legend: D detections, G instances of the ground truth, H, W the image.
"""
from typing import Any, Dict, List, NamedTuple

import numpy as np
from faster_coco_eval.core.mask import rleToBoundary
from pycocotools import mask as mask_api

RLE = Dict[str, Any]


class Truth(NamedTuple):
    """The ground truth of an image, in the order of the annotations' ids.

    Args:
        labels: (G,) int, positions in the list of classes.
        masks: G compressed RLEs of size (H, W).
        boxes: (G, 4) float, x, y, w, h in pixels.
        areas: (G,) float, square pixels.
        ignored: (G,) bool: neither found nor missed; crowds among them.
        crowd: (G,) bool: regions that many detections may lie in.
    """
    labels: np.ndarray
    masks: List[RLE]
    boxes: np.ndarray
    areas: np.ndarray
    ignored: np.ndarray
    crowd: np.ndarray


class Found(NamedTuple):
    """The detections of an image, the surest first.

    Args:
        labels: (D,) int, positions in the list of classes.
        masks: D compressed RLEs of size (H, W).
        boxes: (D, 4) float, x, y, w, h in pixels.
        areas: (D,) float, square pixels of the masks.
        scores: (D,) float.
    """
    labels: np.ndarray
    masks: List[RLE]
    boxes: np.ndarray
    areas: np.ndarray
    scores: np.ndarray

    def take(self, rows: np.ndarray) -> 'Found':
        """Return some of the detections.

        Args:
            rows: Their indices, in ascending order.
        """
        masks = [self.masks[i] for i in rows]
        return Found(self.labels[rows], masks, self.boxes[rows],
                     self.areas[rows], self.scores[rows])


def strongest(found: Found, max_dets: int) -> Found:
    """Keep the surest detections of each class, as COCO does.

    Args:
        found: Of one image, the surest first.
        max_dets: Detections kept of each class.
    """
    kept = [
        np.flatnonzero(found.labels == label)[:max_dets]
        for label in np.unique(found.labels)
    ]
    if not kept:
        return found
    return found.take(np.sort(np.concatenate(kept)))


def overlaps(found: Found, truth: Truth, kind: str = 'segm') -> np.ndarray:
    """Return how much detections overlap the ground truth.

    Args:
        found: The detections.
        truth: The ground truth.
        kind: ``segm`` or ``bbox``, the IoU of masks or of boxes.

    Returns:
        (D, G), 0 to 1. Of crowds the share of the detection within.
    """
    if not len(found.labels) or not len(truth.labels):
        return np.zeros((len(found.labels), len(truth.labels)))
    crowd = truth.crowd.astype(int).tolist()
    if kind == 'bbox':
        return np.asarray(mask_api.iou(found.boxes, truth.boxes, crowd))
    return np.asarray(mask_api.iou(found.masks, truth.masks, crowd))


def boundary_overlaps(found: Found, truth: Truth, ious: np.ndarray,
                      dilation_ratio: float = 0.02,
                      least: float = 0.0) -> np.ndarray:
    """Return boundary IoUs of detections with the ground truth.

    Of mask IoU and the IoU of the masks' inner bands along the outline the
    smaller one (Cheng et al., "Boundary IoU", CVPR 2021).

    Args:
        found: The detections.
        truth: The ground truth.
        ious: (D, G) of the masks, see :func:`overlaps`.
        dilation_ratio: Width of the bands, as a share of the diagonal.
        least: Where the mask IoU is less, or the classes differ, it is
            returned as it is: bands are dear, and the boundary IoU is not
            larger.

    Returns:
        (D, G), 0 to 1. Of crowds the share of the detection's mask within.
    """
    wanted = (ious >= least) & ~truth.crowd[None]
    if least > 0:
        wanted &= found.labels[:, None] == truth.labels[None]
    rows, columns = (np.flatnonzero(wanted.any(axis=axis)) for axis in (1, 0))
    result = ious.copy()
    if not len(rows):
        return result
    bands = [[rleToBoundary(masks[i], dilation_ratio) for i in chosen]
             for masks, chosen in ((found.masks, rows),
                                   (truth.masks, columns))]
    edges = np.asarray(mask_api.iou(*bands, [0] * len(columns)))
    part = np.ix_(rows, columns)
    result[part] = np.where(wanted[part], np.minimum(ious[part], edges),
                            ious[part])
    return result
