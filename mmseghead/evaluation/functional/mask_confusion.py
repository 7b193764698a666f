"""Confusion of classes, counted by instances.

Legend: D detections, G instances of the ground truth, K classes.
"""
import numpy as np

from .matching import Pairs


def confusion_counts(pairs: Pairs, found_labels: np.ndarray,
                     truth_labels: np.ndarray, ignored: np.ndarray,
                     num_classes: int) -> np.ndarray:
    """Count the pairs of an image by their classes.

    Args:
        pairs: Of the detections that are sure enough.
        found_labels: (D,) int.
        truth_labels: (G,) int.
        ignored: (G,) bool; such instances do not count.
        num_classes: K.

    Returns:
        (K + 1, K + 1) int. Rows are classes of the ground truth and, last,
        background; columns are predicted classes and, last, missed. The last
        entry of all is 0.
    """
    counts = np.zeros((num_classes + 1, num_classes + 1), int)
    kept = ~pairs.ignored
    truth = pairs.truth[kept]
    rows = np.full(len(truth), num_classes)
    rows[truth >= 0] = truth_labels[truth[truth >= 0]]
    np.add.at(counts, (rows, found_labels[kept]), 1)
    missed = ~ignored & ~np.isin(np.arange(len(truth_labels)), truth)
    np.add.at(counts, (truth_labels[missed], num_classes), 1)
    return counts


def image_quality(pairs: Pairs, ious: np.ndarray,
                  ignored: np.ndarray) -> float:
    """Say how well an image's instances are found, in one number.

    The sum of the IoUs of right pairs over the number of pairs plus half of
    the wrong detections and half of the missed instances: the panoptic
    quality of Kirillov et al., arXiv:1801.00868, of all classes together.

    Args:
        pairs: Of the detections that are sure enough.
        ious: (D, G) of these detections.
        ignored: (G,) bool; such instances do not count.

    Returns:
        From 0 to 1; NaN for an image with nothing to find and nothing found.
    """
    right = pairs.same_class & ~pairs.ignored
    num_found = int((~pairs.ignored).sum())
    total = num_found + int((~ignored).sum())
    if not total:
        return float('nan')
    # Pairs + (found - pairs) / 2 + (truth - pairs) / 2.
    overlap = ious[np.flatnonzero(right), pairs.truth[right]]
    return float(2 * overlap.sum() / total)
