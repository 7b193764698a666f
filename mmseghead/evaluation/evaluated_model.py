"""A model's predictions, matched once, and its numbers under any weights.

Legend: I images, D detections of an image, G instances of its ground truth,
K classes, B weightings of the images: the first of ones, then the resamples.
"""
from dataclasses import dataclass
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from pycocotools import mask as mask_api

from .coco_files import Annotations
from .functional.boundary_bands import BAND_ENDS, band_ious, band_names
from .functional.error_types import (FOREGROUND_IOU, ORACLES, ImageErrors,
                                     classify_errors, mend)
from .functional.instances import (Found, Truth, boundary_overlaps, overlaps,
                                   strongest)
from .functional.mask_confusion import confusion_counts
from .functional.matching import IOU_THRESHOLDS, Pairs, pair_instances
from .functional.rankings import (SIZES, ImageMatches, best_threshold,
                                  match_image, rank_images)
from .functional.weighted_ap import Ranking, class_precisions, nan_mean


@dataclass(frozen=True)
class Settings:
    """How to compare.

    Args:
        max_dets: Detections that count for each image and class.
        score_thr: Least score of each model's detections where single ones
            are looked at (confusion, bands, pictures); None takes, for each
            model, the score of its best F1. Average precision and error types
            use all detections.
        resamples: Of the images, for the intervals.
        seed: Of the resamples.
        confidence: Of the intervals.
        dilation_ratio: Width of the band of boundary AP, a share of the
            image's diagonal.
    """
    max_dets: int = 100
    score_thr: Optional[Tuple[float, float]] = None
    resamples: int = 1000
    seed: int = 0
    confidence: float = 0.95
    dilation_ratio: float = 0.02

    def __post_init__(self) -> None:
        for name in ('max_dets', 'resamples'):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'`{name}` of a comparison must be an int '
                                 f'>= 1, got {value!r}.')
        for name in ('confidence', 'dilation_ratio'):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise ValueError(f'`{name}` of a comparison must be between '
                                 f'0 and 1, got {value!r}.')


class Evaluated(NamedTuple):
    """A model's predictions, matched with the ground truth.

    Args:
        found: I items, limited in number.
        ious: I arrays (D, G) of mask IoU.
        sizes: By range of size, K rankings by mask IoU.
        boundary: K rankings by boundary IoU.
        bbox: K rankings by the IoU of boxes.
        errors: I items.
        threshold: Least score of a sure detection.
        sure: I arrays of the rows of sure detections.
        pairs: I items, of the sure detections.
    """
    found: List[Found]
    ious: List[np.ndarray]
    sizes: Dict[str, List[Ranking]]
    boundary: List[Ranking]
    bbox: List[Ranking]
    errors: List[ImageErrors]
    threshold: float
    sure: List[np.ndarray]
    pairs: List[Pairs]


def evaluate(annotations: Annotations, found: Sequence[Found],
             settings: Settings,
             threshold: Optional[float] = None) -> Evaluated:
    """Match a model's detections with the ground truth, once for all.

    Args:
        annotations: The ground truth.
        found: I items.
        settings: How.
        threshold: Least score of a sure detection; None: that of the best
            F1.
    """
    num_classes = len(annotations.classes)
    whole, ranges = [SIZES['all']], list(SIZES.values())
    limited, ious, errors = [], [], []
    matches: Dict[str, List[ImageMatches]] = dict(segm=[], boundary=[],
                                                  bbox=[])
    for detections, truth in zip(found, annotations.truth):
        detections = strongest(detections, settings.max_dets)
        limited.append(detections)
        ious.append(overlaps(detections, truth))
        edges = boundary_overlaps(detections, truth, ious[-1],
                                  settings.dilation_ratio, FOREGROUND_IOU)
        boxes = overlaps(detections, truth, 'bbox')
        for kind, overlap, areas in (('segm', ious[-1], ranges),
                                     ('boundary', edges, whole),
                                     ('bbox', boxes, whole)):
            matches[kind].append(
                match_image(overlap, detections, truth, num_classes, areas))
        errors.append(
            _errors(ious[-1], detections, truth, matches['segm'][-1]))
    sizes = dict(zip(SIZES, rank_images(matches['segm'])))
    if threshold is None:
        scores = np.concatenate([item.scores for item in limited])
        labels = np.concatenate([item.labels for item in limited])
        order = np.argsort(-scores, kind='stable')
        threshold = best_threshold(sizes['all'], [
            scores[order[labels[order] == k]] for k in range(num_classes)])
    sure = [np.flatnonzero(item.scores >= threshold) for item in limited]
    pairs = [
        pair_instances(overlap[rows], item.labels[rows], truth.labels,
                       truth.ignored, truth.crowd) for overlap, rows, item,
        truth in zip(ious, sure, limited, annotations.truth)
    ]
    return Evaluated(limited, ious, sizes,
                     rank_images(matches['boundary'])[0],
                     rank_images(matches['bbox'])[0], errors, threshold, sure,
                     pairs)


def _errors(ious: np.ndarray, found: Found, truth: Truth,
            matches: ImageMatches) -> ImageErrors:
    """Classify the errors among what counts."""
    kept, regular = matches.counted[0, 0], ~truth.ignored
    # Instances are counted anew without the ignored ones.
    position = np.append(np.cumsum(regular) - 1, -1)
    return classify_errors(ious[kept][:, regular], found.scores[kept],
                           found.labels[kept], truth.labels[regular],
                           position[matches.matched[0, 0][kept]])


def precision_numbers(model: Evaluated, classes: Sequence[str],
                      weights: np.ndarray) -> Tuple[Dict, Dict]:
    """Return metric -> (B,) values, and class -> (B,) mask APs.

    Args:
        model: The model.
        classes: K names.
        weights: (B, I).
    """
    table = class_precisions(model.sizes['all'], weights)  # (K, B, T)
    by_threshold = nan_mean(table)
    numbers = {
        'mask AP': by_threshold.mean(axis=1),
        'mask AP50': by_threshold[:, _threshold(0.5)],
        'mask AP75': by_threshold[:, _threshold(0.75)],
    }
    others = {'boundary AP': model.boundary, 'box AP': model.bbox}
    others.update({f'mask AP {size}': model.sizes[size]
                   for size in list(SIZES)[1:]})
    for key, rankings in others.items():
        numbers[key] = nan_mean(
            class_precisions(rankings, weights)).mean(axis=1)
    return numbers, dict(zip(classes, table.mean(axis=2)))


def _threshold(value: float) -> int:
    return int(np.flatnonzero(np.isclose(IOU_THRESHOLDS, value))[0])


def image_support(model: Evaluated, classes: Sequence[str]) -> Dict[str, int]:
    """Return metric or class -> number of images with something to find.

    A number that rests on one image does not vary with the images drawn: its
    interval would be a point.

    Args:
        model: Any model on these images.
        classes: K names.
    """

    def count(rankings: Sequence[Ranking]) -> int:
        return int(np.any([r.num_truth > 0 for r in rankings], axis=0).sum())

    support = {f'mask AP {size}': count(model.sizes[size])
               for size in list(SIZES)[1:]}
    for k, name in enumerate(classes):
        support[name] = count([model.sizes['all'][k]])
    return support


def error_numbers(model: Evaluated,
                  weights: np.ndarray) -> Dict[str, np.ndarray]:
    """Return oracle -> (B,) gains of mask AP50.

    Args:
        model: The model.
        weights: (B, I).
    """
    count = len(model.sizes['all'])
    plain = class_precisions(mend(model.errors, count), weights)[..., 0]
    gains = {}
    for oracle in ORACLES:
        mended = class_precisions(
            mend(model.errors, count, oracle), weights)[..., 0]
        # With nothing left to find a class gains nothing.
        mended = np.where(np.isnan(mended), plain, mended)
        gains[oracle] = nan_mean(mended) - nan_mean(plain)
    return gains


def band_numbers(annotations: Annotations, models: Sequence[Evaluated],
                 weights: np.ndarray) -> Tuple[List[Dict], List[Dict]]:
    """Compare masks by distance from the outline.

    Only instances that both models found count, so that what is found and
    how well it is outlined stay apart.

    Args:
        annotations: The ground truth.
        models: The two models.
        weights: (B, I).

    Returns:
        Of each model, ``whole mask`` and band -> (B,) mean IoU of the
        instances; and the number of instances with a pixel there.
    """
    names = ['whole mask', *band_names(BAND_ENDS)]
    # Sums and counts by model, image and band.
    sums = np.zeros((2, len(annotations.images), len(names)))
    counts = np.zeros(sums.shape, int)
    for i, truth in enumerate(annotations.truth):
        rows = [_found_rows(model, i) for model in models]
        for instance in sorted(rows[0].keys() & rows[1].keys()):
            for m, model in enumerate(models):
                row = rows[m][instance]
                ious = np.append(
                    model.ious[i][row, instance],
                    _bands(truth.masks[instance], model.found[i].masks[row]))
                sums[m, i] += np.nan_to_num(ious)
                counts[m, i] += ~np.isnan(ious)
    with np.errstate(invalid='ignore'):
        means = (weights @ sums) / (weights @ counts)  # (2, B, bands)
    totals = counts.sum(axis=1).tolist()
    return ([dict(zip(names, mean.T)) for mean in means],
            [dict(zip(names, total)) for total in totals])


def _found_rows(model: Evaluated, i: int) -> Dict[int, int]:
    """Return instance -> row of the sure detection that found it."""
    pairs = model.pairs[i]
    right = np.flatnonzero(pairs.same_class & ~pairs.ignored)
    return dict(zip(pairs.truth[right].tolist(),
                    model.sure[i][right].tolist()))


def _bands(truth: dict, mask: dict) -> np.ndarray:
    height, width = truth['size']
    left, top, wide, high = mask_api.toBbox(
        mask_api.merge([truth, mask])).astype(int)
    masks = [
        mask_api.decode(item)[top:top + high, left:left + wide].astype(bool)
        for item in (truth, mask)
    ]
    return band_ious(*masks, float(np.hypot(height, width)))


def confusion(annotations: Annotations, model: Evaluated) -> np.ndarray:
    """Return the (K + 1, K + 1) confusion of a model's sure detections.

    Args:
        annotations: The ground truth.
        model: The model.
    """
    size = len(annotations.classes)
    total = np.zeros((size + 1, size + 1), int)
    for i, truth in enumerate(annotations.truth):
        total += confusion_counts(
            model.pairs[i], model.found[i].labels[model.sure[i]],
            truth.labels, truth.ignored, size)
    return total
