"""Why detections are wrong, and what each kind of error costs.

Source: Bolya et al., "TIDE: A General Toolbox for Identifying Object
Detection Errors", ECCV 2020, arXiv:2008.08115, section 2. Where a detection
fits several kinds, the order is that of the authors' tool
(dbolya/tide@09eeffb:tidecv/quantify.py): localisation, classification,
duplicate, background, both.

Differs: each oracle chooses for itself which of several detections gets an
instance; the authors' tool chooses once, among errors of classification and
localisation together. Average precision is COCO's (detections limited by
image and class, not by image).

Legend: I images, D detections, G instances of the ground truth that are not
ignored, K classes.
"""
from typing import Dict, List, NamedTuple, Sequence

import numpy as np

from .weighted_ap import Ranking

RIGHT, CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND = range(6)
#: Errors of detections, by their code.
KINDS = {
    CLASSIFICATION: 'classification',
    LOCALISATION: 'localisation',
    BOTH: 'both',
    DUPLICATE: 'duplicate',
    BACKGROUND: 'background'
}
#: What can be mended: each kind, and all of what is too much or too little.
ORACLES = (*KINDS.values(), 'missed', 'all false positives',
           'all false negatives')
FOREGROUND_IOU = 0.5
BACKGROUND_IOU = 0.1


class ImageErrors(NamedTuple):
    """The detections of one image and what is wrong with them.

    Detections that do not count (on crowds) are not among them.

    Args:
        scores: (D,), any order.
        labels: (D,) int.
        kinds: (D,) int, ``RIGHT`` or a key of ``KINDS``.
        targets: (D,) int, the instance found, or that would have been found
            with the right class or place; -1 for the other kinds.
        truth_labels: (G,) int.
        taken: (G,) bool, whether an instance was found.
    """
    scores: np.ndarray
    labels: np.ndarray
    kinds: np.ndarray
    targets: np.ndarray
    truth_labels: np.ndarray
    taken: np.ndarray

    @property
    def missed(self) -> np.ndarray:
        """(G,) bool: not found, and no error explains why."""
        near = np.isin(self.kinds, (CLASSIFICATION, LOCALISATION))
        explained = np.isin(
            np.arange(len(self.taken)), self.targets[near])
        return ~self.taken & ~explained


def classify_errors(ious: np.ndarray, scores: np.ndarray, labels: np.ndarray,
                    truth_labels: np.ndarray,
                    matched: np.ndarray) -> ImageErrors:
    """Name the error of each detection of an image.

    Args:
        ious: (D, G) overlaps of all classes with each other.
        scores: (D,).
        labels: (D,) int.
        truth_labels: (G,) int.
        matched: (D,) int, the instance a detection found at an IoU of 0.5,
            or -1.
    """
    num_found, num_truth = ious.shape
    taken = np.isin(np.arange(num_truth), matched)
    kinds = np.full(num_found, BACKGROUND)
    targets = np.where(matched >= 0, matched, -1)
    if num_truth:
        same = labels[:, None] == truth_labels[None, :]  # (D, G)
        within, across = np.where(same, ious, 0.0), np.where(same, 0.0, ious)
        best_within, best_across = within.max(axis=1), across.max(axis=1)
        near = (best_within >= BACKGROUND_IOU) & (best_within <
                                                  FOREGROUND_IOU)
        kinds = np.select(
            [matched >= 0, near, best_across >= FOREGROUND_IOU,
             best_within >= FOREGROUND_IOU, best_across <= BACKGROUND_IOU],
            [RIGHT, LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND],
            BOTH)
        for kind, overlap in ((LOCALISATION, within),
                              (CLASSIFICATION, across)):
            rows = kinds == kind
            targets[rows] = overlap[rows].argmax(axis=1)
    return ImageErrors(scores, labels, kinds, targets, truth_labels, taken)


def count_errors(images: Sequence[ImageErrors]) -> Dict[str, int]:
    """Return kind -> number of errors, missed instances among them."""
    counts = {
        name: int(sum((image.kinds == kind).sum() for image in images))
        for kind, name in KINDS.items()
    }
    counts['missed'] = int(sum(image.missed.sum() for image in images))
    return counts


def mend(images: Sequence[ImageErrors], num_classes: int,
         oracle: str = '') -> List[Ranking]:
    """Return what the classes' detections would be with errors mended.

    Classification and localisation: the surest of the detections that miss
    an unfound instance in this way finds it, the others vanish. Both,
    duplicate and background: they vanish. Missed: such instances need not be
    found. All false positives: they vanish; all false negatives: no unfound
    instance need be found.

    Args:
        images: One item an image, in the order of the weights.
        num_classes: K.
        oracle: One of ``ORACLES``, or ``''`` to mend nothing.

    Returns:
        K rankings at an IoU of 0.5 (T is 1).

    Raises:
        ValueError: if the oracle is unknown.
    """
    if oracle not in ('', *ORACLES):
        raise ValueError(f'`oracle` of mend must be one of {ORACLES}, got '
                         f'{oracle!r}.')
    index, scores, labels, right = [], [], [], []
    num_truth = np.zeros((num_classes, len(images)), int)
    for i, image in enumerate(images):
        kept, new_labels, new_right = _mend_image(image, oracle)
        index.append(np.full(kept.sum(), i))
        scores.append(image.scores[kept])
        labels.append(new_labels[kept])
        right.append(new_right[kept])
        wanted = np.ones_like(image.taken)
        if oracle == 'missed':
            wanted = ~image.missed
        elif oracle == 'all false negatives':
            wanted = image.taken
        num_truth[:, i] = np.bincount(
            image.truth_labels[wanted], minlength=num_classes)
    return _rank(*map(_join, (index, scores, labels, right)), num_truth)


def _mend_image(image: ImageErrors, oracle: str) -> tuple:
    """Return which detections stay, their labels, and which are right."""
    kinds = image.kinds
    kept, labels, right = kinds >= 0, image.labels.copy(), kinds == RIGHT
    if oracle == 'all false positives':
        return right, labels, right
    for kind, name in KINDS.items():
        if oracle != name:
            continue
        kept = kinds != kind
        if kind in (CLASSIFICATION, LOCALISATION):
            winners = _surest(image, kind)
            labels[winners] = image.truth_labels[image.targets[winners]]
            right = right | winners
            kept = kept | winners
    return kept, labels, right


def _surest(image: ImageErrors, kind: int) -> np.ndarray:
    """(D,) bool: the surest detection of a kind for each unfound instance."""
    rows = np.flatnonzero(image.kinds == kind)
    rows = rows[~image.taken[image.targets[rows]]]
    rows = rows[np.argsort(-image.scores[rows], kind='stable')]
    _, first = np.unique(image.targets[rows], return_index=True)
    winners = np.zeros(len(image.kinds), bool)
    winners[rows[first]] = True
    return winners


def _join(parts: List[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0)


def _rank(index: np.ndarray, scores: np.ndarray, labels: np.ndarray,
          right: np.ndarray, num_truth: np.ndarray) -> List[Ranking]:
    rankings = []
    order = np.argsort(-scores, kind='stable')
    for k, truth in enumerate(num_truth):
        rows = order[labels[order] == k]
        correct = right[rows][None].astype(bool)  # (1, D)
        rankings.append(
            Ranking(index[rows].astype(int), correct, np.ones_like(correct),
                    truth))
    return rankings
