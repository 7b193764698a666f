"""Two models' predictions on the same images, compared from COCO JSON alone.

Legend: I images, K classes, B weightings of the images.
"""
from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from mmseghead.evaluation.coco_files import (Annotations, PathLike, Results,
                                             read_annotations, read_results,
                                             with_mask_boxes)
from mmseghead.evaluation.evaluated_model import (Evaluated, Settings,
                                                  band_numbers, confusion,
                                                  error_numbers, evaluate,
                                                  image_support,
                                                  precision_numbers)
from mmseghead.evaluation.functional.error_types import count_errors
from mmseghead.evaluation.functional.instances import Truth
from mmseghead.evaluation.functional.mask_confusion import image_quality
from mmseghead.evaluation.functional.resampling import (Difference,
                                                        image_weights,
                                                        paired_difference)

_FEW_IMAGES = 30


class Outcome(NamedTuple):
    """What a model's sure detections of one image came to.

    Args:
        quality: See :func:`image_quality`; 1 where nothing is to be found
            and nothing was found.
        right: Number of detections that found an instance of their class.
        wrong: Number of those that did not.
        missed: Number of instances not found.
    """
    quality: float
    right: int
    wrong: int
    missed: int


class ImageRow(NamedTuple):
    """One image of the comparison.

    Args:
        index: Position among the images, sorted by id.
        image_id: Its id.
        file_name: Its file.
        num_truth: Instances to find.
        a: Outcome of the first model.
        b: Outcome of the second.
    """
    index: int
    image_id: object
    file_name: str
    num_truth: int
    a: Outcome
    b: Outcome

    @property
    def difference(self) -> float:
        """How much better the second model is."""
        return self.b.quality - self.a.quality


@dataclass(frozen=True)
class Comparison:
    """All that is known of two models on the same images.

    Args:
        names: Of the two models.
        settings: How they were compared.
        annotations: The ground truth.
        results: The predictions as read.
        models: The predictions, matched.
        overall: Metric -> difference, 0 to 1.
        classes: Class -> difference of mask AP.
        bands: Band around the outline -> difference of the mean IoU of the
            instances that both models found.
        num_common: How many instances these are.
        band_counts: Of each model, band -> how many of them reach it.
        errors: Oracle -> difference of what it would add to mask AP50.
        error_counts: Of each model, kind -> number.
        confusion: Of each model, (K + 1, K + 1) counts.
        images: All images, the most different ones first.
        notes: What a reader should know.
    """
    names: Tuple[str, str]
    settings: Settings
    annotations: Annotations
    results: Tuple[Results, Results]
    models: Tuple[Evaluated, Evaluated]
    overall: Dict[str, Difference]
    classes: Dict[str, Difference]
    bands: Dict[str, Difference]
    num_common: int
    band_counts: Tuple[Dict[str, int], Dict[str, int]]
    errors: Dict[str, Difference]
    error_counts: Tuple[Dict[str, int], Dict[str, int]]
    confusion: Tuple[np.ndarray, np.ndarray]
    images: List[ImageRow]
    notes: List[str] = field(default_factory=list)


def compare_predictions(ann_file: PathLike, first: PathLike,
                        second: PathLike, *,
                        names: Optional[Sequence[str]] = None,
                        settings: Settings = Settings()) -> Comparison:
    """Compare two lists of COCO results.

    Args:
        ann_file: COCO JSON of the images.
        first: COCO results with masks, of any toolbox.
        second: Those of the other model.
        names: Of the models; the files' names if None.
        settings: How to compare.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file does not fit; names the entry. See
            ``read_annotations`` and ``read_results``.
    """
    annotations = read_annotations(ann_file)
    results = tuple(read_results(path, annotations)
                    for path in (first, second))
    used = results
    if not all(item.has_boxes for item in results):
        used = tuple(map(with_mask_boxes, results))
    thresholds = settings.score_thr or (None, None)
    models = tuple(
        evaluate(annotations, item.found, settings, threshold)
        for item, threshold in zip(used, thresholds))
    weights = image_weights(len(annotations.images), settings.resamples,
                            settings.seed).astype(float)

    classes = annotations.classes
    support = image_support(models[0], classes)
    total = len(annotations.images)

    def estimate(numbers: Sequence[Dict[str, np.ndarray]]) -> Dict:
        return {
            key: paired_difference(
                numbers[0][key], numbers[1][key], settings.confidence,
                support.get(key, total)) for key in numbers[0]
        }

    overall, by_class = zip(*(precision_numbers(model, classes, weights)
                              for model in models))
    bands, band_counts = band_numbers(annotations, models, weights)
    return Comparison(
        names=_names(names, results),
        settings=settings,
        annotations=annotations,
        results=results,
        models=models,
        overall=estimate(overall),
        classes=estimate(by_class),
        bands=estimate(bands),
        num_common=band_counts[0]['whole mask'],
        band_counts=tuple(band_counts),
        errors=estimate([error_numbers(m, weights) for m in models]),
        error_counts=tuple(count_errors(m.errors) for m in models),
        confusion=tuple(confusion(annotations, m) for m in models),
        images=image_rows(annotations, models),
        notes=_notes(annotations, results, models))


def _names(names: Optional[Sequence[str]],
           results: Sequence[Results]) -> Tuple[str, str]:
    if names is None:
        paths = [item.path.resolve() for item in results]
        names = [path.name.split('.')[0] for path in paths]
        if names[0] == names[1]:
            names = [f'{path.parent.name}/{name}'
                     for path, name in zip(paths, names)]
        if names[0] == names[1]:
            names = [f'{names[0]} (A)', f'{names[1]} (B)']
    if len(names) != 2 or names[0] == names[1] or not all(names):
        raise ValueError('`names` of a comparison must be two different '
                         f'names, got {list(names)!r}.')
    return names[0], names[1]


def image_rows(annotations: Annotations,
               models: Sequence[Evaluated]) -> List[ImageRow]:
    """Return all images, those with the most different outcomes first.

    Args:
        annotations: The ground truth.
        models: The two models.
    """
    rows = []
    for i, (image, truth) in enumerate(
            zip(annotations.images, annotations.truth)):
        num_truth = int((~truth.ignored).sum())
        rows.append(
            ImageRow(i, image.id, image.file_name, num_truth,
                     *(_outcome(m, i, truth, num_truth) for m in models)))
    return sorted(rows, key=lambda row: (-abs(row.difference), row.index))


def _outcome(model: Evaluated, i: int, truth: Truth,
             num_truth: int) -> Outcome:
    pairs = model.pairs[i]
    quality = image_quality(pairs, model.ious[i][model.sure[i]],
                            truth.ignored)
    right = int((pairs.same_class & ~pairs.ignored).sum())
    wrong = int((~pairs.ignored).sum()) - right
    return Outcome(1.0 if np.isnan(quality) else quality, right, wrong,
                   num_truth - right)


def _notes(annotations: Annotations, results: Sequence[Results],
           models: Sequence[Evaluated]) -> List[str]:
    notes = []
    for item, model in zip(results, models):
        cut = len(item) - sum(len(found.labels) for found in model.found)
        if not len(item):
            notes.append(f'{item.path} has no predictions.')
        if cut:
            notes.append(f'Predictions of {item.path} beyond the limit by '
                         f'image and class: {cut}; they do not count.')
    bare = [str(item.path) for item in results if not item.has_boxes]
    if bare:
        notes.append('Box AP is that of the boxes around the masks, for both '
                     'models, as not every entry has a `bbox` in '
                     f'{" and ".join(bare)}.')
    if annotations.num_flagged:
        notes.append(f'Instances with `ignore`: {annotations.num_flagged}; '
                     'they count neither as found nor as missed. pycocotools '
                     'counts them.')
    present = {int(k) for truth in annotations.truth
               for k in truth.labels[~truth.ignored]}
    absent = [name for k, name in enumerate(annotations.classes)
              if k not in present]
    if absent:
        notes.append(f'Classes without instances, and so without AP: '
                     f'{len(absent)} ({", ".join(absent[:10])}'
                     f'{", ..." if len(absent) > 10 else ""}).')
    empty = sum(bool(truth.ignored.all()) for truth in annotations.truth)
    if empty:
        notes.append(f'Images without instances to find: {empty}; '
                     'predictions there are false positives.')
    if len(annotations.images) < _FEW_IMAGES:
        notes.append(f'{len(annotations.images)} images are few: take the '
                     'intervals for rough.')
    return notes
