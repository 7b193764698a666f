"""Which detection finds which instance of the ground truth.

Legend: D detections of an image, best score first, G instances of its ground
truth, R rows: independent runs that differ in threshold and ignored truth.
"""
from typing import NamedTuple

import numpy as np

#: COCO's ten IoU thresholds, 0.5 to 0.95.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)


def match_detections(ious: np.ndarray, thresholds: np.ndarray,
                     ignored: np.ndarray, crowd: np.ndarray) -> np.ndarray:
    """Assign detections to ground truth as COCO's evaluation does.

    In the order of the detections, each takes the free instance that it
    overlaps most, if that is enough. Ignored instances are taken only where
    no other one will do; crowds stay free. Of equal overlaps the last counts.

    Args:
        ious: (D, G), 0 to 1; of crowds the share of the detection inside.
        thresholds: (R,), least overlap of each row.
        ignored: (R, G) bool.
        crowd: (G,) bool.

    Returns:
        (R, D) int, index of the instance or -1. D and G may be 0.

    Source: pycocotools 2.0, ``COCOeval.evaluateImg``; all rows at once.
    """
    num_rows, (num_found, num_truth) = len(thresholds), ious.shape
    matched = np.full((num_rows, num_found), -1)
    if not num_truth or not num_found:
        return matched
    least = np.minimum(thresholds, 1 - 1e-10)[:, None]  # (R, 1)
    free = np.ones((num_rows, num_truth), dtype=bool)
    rows = np.arange(num_rows)
    for i in np.flatnonzero(ious.max(axis=1) >= least.min()):
        fits = free & (ious[i] >= least)  # (R, G)
        regular = fits & ~ignored
        pool = np.where(regular.any(axis=1, keepdims=True), regular, fits)
        # From the right, as argmax returns the first of equal ones.
        overlap = np.where(pool, ious[i], -1.0)[:, ::-1]
        best = num_truth - 1 - overlap.argmax(axis=1)  # (R,)
        found = pool[rows, best]
        matched[found, i] = best[found]
        free[rows[found], best[found]] = crowd[best[found]]
    return matched


class Pairs(NamedTuple):
    """Detections of an image beside its ground truth.

    Args:
        truth: (D,) int, the instance that a detection is paired with, or -1.
        same_class: (D,) bool, whether the pair agrees in its class.
        ignored: (D,) bool: the detection counts neither as right nor as
            wrong.
    """
    truth: np.ndarray
    same_class: np.ndarray
    ignored: np.ndarray


def pair_instances(ious: np.ndarray, found_labels: np.ndarray,
                   truth_labels: np.ndarray, ignored: np.ndarray,
                   crowd: np.ndarray, threshold: float = 0.5) -> Pairs:
    """Pair detections with ground truth, also across classes.

    First within the classes, as for average precision; then what is left
    over with instances of other classes that nobody found. A pair across
    classes therefore exists only where nothing right was found.

    Args:
        ious: (D, G), see :func:`match_detections`.
        found_labels: (D,) int classes of the detections.
        truth_labels: (G,) int classes of the ground truth.
        ignored: (G,) bool, crowds among them.
        crowd: (G,) bool.
        threshold: Least overlap.
    """
    least = np.array([threshold])
    same = found_labels[:, None] == truth_labels[None, :]  # (D, G)
    truth = match_detections(
        np.where(same, ious, 0.0), least, ignored[None], crowd)[0]
    same_class = truth >= 0
    dropped = same_class.copy()
    if len(ignored):
        dropped &= ignored[truth]
    taken = np.isin(np.arange(len(truth_labels)), truth[same_class])
    open_pairs = ~same_class[:, None] & ~(taken | ignored)[None, :] & ~same
    other = match_detections(
        np.where(open_pairs, ious, 0.0), least, np.zeros_like(ignored)[None],
        np.zeros_like(crowd))[0]
    return Pairs(np.where(same_class, truth, other), same_class, dropped)
