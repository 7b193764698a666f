"""Matches of a whole data set, by class and size of the instances.

Legend: I images, D detections and G instances of an image, K classes, A
ranges of size, T thresholds of IoU.
"""
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from .instances import Found, Truth
from .matching import IOU_THRESHOLDS, match_detections
from .weighted_ap import Ranking

Range = Tuple[float, float]
#: COCO's ranges of area in square pixels, both ends included.
SIZES: Dict[str, Range] = dict(
    all=(0.0, 1e10),
    small=(0.0, 32.0**2),
    medium=(32.0**2, 96.0**2),
    large=(96.0**2, 1e10))


class ImageMatches(NamedTuple):
    """What COCO's evaluation needs to know of an image.

    Args:
        labels: (D,) int.
        scores: (D,), the surest first.
        matched: (A, T, D) int, instance found or -1.
        counted: (A, T, D) bool.
        num_truth: (A, K) int, instances to find.
    """
    labels: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    counted: np.ndarray
    num_truth: np.ndarray


def match_image(ious: np.ndarray, found: Found, truth: Truth,
                num_classes: int, ranges: Sequence[Range],
                thresholds: np.ndarray = IOU_THRESHOLDS) -> ImageMatches:
    """Match the detections of an image within each class.

    Args:
        ious: (D, G).
        found: The detections, the surest first.
        truth: The ground truth.
        num_classes: K.
        ranges: A ranges of area; instances outside are ignored, and so are
            detections outside that find nothing.
        thresholds: (T,).
    """
    sizes, steps = len(ranges), len(thresholds)
    outside = truth.ignored | _outside(truth.areas, ranges)  # (A, G)
    matched = np.full((sizes, steps, len(found.labels)), -1)
    rows = np.tile(thresholds, sizes)  # (A * T,)
    for label in np.intersect1d(found.labels, truth.labels):
        mine = np.flatnonzero(found.labels == label)
        theirs = np.flatnonzero(truth.labels == label)
        pairs = match_detections(ious[np.ix_(mine, theirs)], rows,
                                 np.repeat(outside[:, theirs], steps, axis=0),
                                 truth.crowd[theirs])
        pairs = np.where(pairs >= 0, theirs[pairs], -1)
        matched[..., mine] = pairs.reshape(sizes, steps, -1)
    unmatched = matched < 0
    counted = ~(unmatched & _outside(found.areas, ranges)[:, None])
    if len(truth.labels):
        size = np.arange(sizes)[:, None, None]
        counted &= unmatched | ~outside[size, matched]
    num_truth = np.stack([
        np.bincount(truth.labels[~row], minlength=num_classes)
        for row in outside
    ])
    return ImageMatches(found.labels, found.scores, matched, counted,
                        num_truth)


def _outside(areas: np.ndarray, ranges: Sequence[Range]) -> np.ndarray:
    low, high = np.array(ranges).T[..., None]
    return (areas < low) | (areas > high)  # (A, N)


def rank_images(images: Sequence[ImageMatches]) -> List[List[Ranking]]:
    """Join the images' matches.

    Args:
        images: At least one. Of equal scores, those of earlier images come
            first, as in pycocotools.

    Returns:
        Rankings by range of size and, within, by class: A lists of K.
    """
    index = np.repeat(
        np.arange(len(images)), [len(image.labels) for image in images])
    labels = np.concatenate([image.labels for image in images])
    scores = np.concatenate([image.scores for image in images])
    correct = np.concatenate(
        [image.matched for image in images], axis=2) >= 0  # (A, T, D)
    counted = np.concatenate([image.counted for image in images], axis=2)
    num_truth = np.stack([image.num_truth for image in images])  # (I, A, K)
    order = np.argsort(-scores, kind='stable')
    by_class = [order[labels[order] == k] for k in range(num_truth.shape[2])]
    return [[
        Ranking(index[rows], correct[a][:, rows], counted[a][:, rows],
                num_truth[:, a, k]) for k, rows in enumerate(by_class)
    ] for a in range(num_truth.shape[1])]


def best_threshold(rankings: Sequence[Ranking],
                   scores: Sequence[np.ndarray]) -> float:
    """Return the score at which F1 of all classes together is highest.

    Args:
        rankings: K, their first threshold of IoU counts.
        scores: Of each ranking's detections.

    Returns:
        The least score to keep, of equal ones the highest; 0.5 where nothing
        right was found.
    """
    values = np.concatenate([np.empty(0), *scores])
    right = [r.correct[0] & r.counted[0] for r in rankings]
    kept = np.concatenate([np.empty(0, bool), *[r.counted[0]
                                                for r in rankings]])
    total = sum(int(r.num_truth.sum()) for r in rankings)
    order = np.argsort(-values, kind='stable')
    hits = np.cumsum(np.concatenate([np.empty(0, bool), *right])[order])
    if not len(hits) or not hits[-1]:
        return 0.5
    seen = np.cumsum(kept[order])
    values = values[order]
    # A threshold keeps all detections of one score or none.
    last = np.append(values[1:] != values[:-1], True)
    f1 = np.where(last, 2 * hits / np.maximum(seen + total, 1), -1.0)
    return float(values[f1.argmax()])
