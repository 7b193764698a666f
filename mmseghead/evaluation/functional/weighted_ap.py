"""Average precision of reweighted images, without matching again.

A resample of a test set draws each image some number of times. These numbers
are weights: the matches stay, only counts change.

Legend: B weightings, I images, D detections of a class, T thresholds of IoU,
K classes.
"""
from typing import NamedTuple, Sequence

import numpy as np

#: COCO's recalls at which precision is read.
RECALLS = np.linspace(0.0, 1.0, 101)
_MOST_CELLS = 2_000_000  # of one array


class Ranking(NamedTuple):
    """All detections of one class, the surest first.

    Args:
        image: (D,) int, index of the image.
        correct: (T, D) bool, whether it found an instance.
        counted: (T, D) bool, false for detections that do not count.
        num_truth: (I,) int, instances to find in each image.
    """
    image: np.ndarray
    correct: np.ndarray
    counted: np.ndarray
    num_truth: np.ndarray


def average_precision(ranking: Ranking, weights: np.ndarray) -> np.ndarray:
    """Return COCO's average precision of one class under weights.

    An image of weight n counts as n copies of it; with weights of 1 the
    result is that of pycocotools.

    Args:
        ranking: The class.
        weights: (B, I), >= 0.

    Returns:
        (B, T) from 0 to 1, NaN where nothing is to be found.
    """
    num_weights, num_found = len(weights), len(ranking.image)
    step = max(_MOST_CELLS // max(num_found, 1), 1)
    # Of a resampled set most calls get floats already: no copy then.
    weights = np.asarray(weights, float)
    parts = [
        _average_precision(ranking, weights[i:i + step])
        for i in range(0, num_weights, step)
    ]
    empty = np.empty((0, len(ranking.correct)))
    return np.concatenate([empty, *parts])


def _average_precision(ranking: Ranking, weights: np.ndarray) -> np.ndarray:
    result = np.zeros((len(weights), len(ranking.correct)))
    num_truth = weights @ ranking.num_truth  # (B,)
    of_found = weights[:, ranking.image]  # (B, D)
    before, seen = None, None
    with np.errstate(divide='ignore', invalid='ignore'):
        for t, counted in enumerate(ranking.counted):
            if before is None or (counted != before).any():
                before, seen = counted, np.cumsum(of_found * counted, axis=1)
            # Precision falls between correct detections: only they matter.
            hits = np.flatnonzero(ranking.correct[t] & counted)
            if not len(hits):
                continue
            right = np.cumsum(of_found[:, hits], axis=1)
            precision = right / (seen[:, hits] + np.spacing(1))
            precision = np.maximum.accumulate(
                precision[:, ::-1], axis=1)[:, ::-1]
            recall = right / num_truth[:, None]
            reached = np.searchsorted(RECALLS, recall, side='right')
            steps = np.diff(reached, axis=1, prepend=0)
            result[:, t] = (steps * precision).sum(axis=1) / len(RECALLS)
    result[num_truth == 0] = np.nan
    return result


def class_precisions(rankings: Sequence[Ranking],
                     weights: np.ndarray) -> np.ndarray:
    """Return (K, B, T) average precisions, one class after the other."""
    return np.stack([average_precision(item, weights) for item in rankings])


def nan_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the mean of what is not NaN; NaN where all is, unwarned."""
    valid = ~np.isnan(values)
    count = valid.sum(axis=axis)
    total = np.where(valid, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
