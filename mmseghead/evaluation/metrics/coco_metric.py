"""COCO's average precision of boxes and masks."""
import contextlib
import io
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Union

import numpy as np
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from mmdet.evaluation.metrics import CocoMetric as UpstreamCocoMetric
from mmengine.fileio import dump
from mmengine.logging import MMLogger
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from terminaltables import AsciiTable

from mmseghead.registry import METRICS
from mmseghead.utils.class_check import check_class_list, check_classes

_METRICS = ('bbox', 'segm')
_MASK_METRICS = ('segm', 'boundary')
_KNOWN_METRICS = ('bbox', *_MASK_METRICS)
_SIZES = dict(s='small', m='medium', l='large')


class _Backend(NamedTuple):
    """A COCO index and the evaluator that goes with it."""

    index: type
    evaluator: type


_BACKENDS = dict(
    faster=_Backend(FasterCOCO, COCOeval_faster),
    pycocotools=_Backend(COCO, COCOeval))


@METRICS.register_module()
class CocoMetric(UpstreamCocoMetric):
    """COCO's AP and AR of boxes and masks, by faster-coco-eval or pycocotools.

    Both backends give the same numbers. Differs from ``mmdet.CocoMetric``:
    all twelve numbers are returned, unrounded; no predictions at all give
    zeros, not missing keys; ``classwise`` APs are named after their metric;
    classes that differ from the annotation file's are an error; the
    annotation file is required and proposals are not evaluated.

    The metric ``boundary`` is boundary AP (Cheng et al., "Boundary IoU",
    CVPR 2021): as ``segm``, with the smaller one of mask IoU and the IoU of
    the masks' inner boundary bands in place of mask IoU. It sees errors along
    the outline of large objects that mask AP forgives.

    Result keys (prefix ``coco/``), for each metric of ``bbox``, ``segm`` and
    ``boundary``: ``<metric>_mAP``, ``_mAP_50``, ``_mAP_75``, ``_mAP_s``, ``_mAP_m``,
    ``_mAP_l``, ``_AR@<n>`` for the three ``proposal_nums``, ``_AR_s@<n>``,
    ``_AR_m@<n>``, ``_AR_l@<n>`` for the last of them, and, with
    ``classwise``, ``<metric>_<class>_precision``. Values are from 0 to 1, or
    -1 where there is no ground truth of that kind. As in pycocotools,
    ``mAP`` counts 100 detections per image if 100 is one of
    ``proposal_nums``; the other APs count the last of them.

    Args:
        ann_file: COCO JSON of the images tested.
        metric: ``'bbox'``, ``'segm'``, ``'boundary'`` or a list of them.
        classwise: Also return and log the AP of each class.
        proposal_nums: Three detections-per-image limits, ascending.
        iou_thrs: IoU thresholds; 0.5 to 0.95 in steps of 0.05 if None.
        metric_items: Keep only these results, e.g. ``['mAP', 'mAP_50']``.
        format_only: Write the predictions and return no numbers.
        outfile_prefix: Also write the predictions as COCO results to
            ``<outfile_prefix>.{bbox,segm}.json``.
        backend: ``'faster'`` or ``'pycocotools'``.
        backend_args: How to read ``ann_file`` (mmengine's file backends).
        collect_device: ``'cpu'`` or ``'gpu'``, for several processes.
        prefix: Instead of ``coco``.
        dilation_ratio: Width of the band that ``boundary`` compares, as a
            share of the image's diagonal; at least one pixel.
        federated: The annotation file is of LVIS's kind: only some classes
            were looked for in each image. Predictions of the others are left
            out; those of the image's ``not_exhaustive_category_ids`` count
            where they match only; so does the rest with classes annotated
            there or in ``neg_category_ids``. Images without annotations in
            the file are left out too. With annotations of LVIS on COCO's
            categories (docs/data.md) this gives AP*.

    Raises:
        FileNotFoundError: if ``ann_file`` does not exist.
        KeyError: if a metric or item is unknown.
        ValueError: if another argument is out of its range, if classes
            differ from the file's, or predictions are of other images.
    """

    def __init__(self,
                 ann_file: str,
                 metric: Union[str, Sequence[str]] = _METRICS,
                 *,
                 classwise: bool = False,
                 proposal_nums: Sequence[int] = (100, 300, 1000),
                 iou_thrs: Optional[Sequence[float]] = None,
                 metric_items: Optional[Sequence[str]] = None,
                 format_only: bool = False,
                 outfile_prefix: Optional[str] = None,
                 backend: str = 'faster',
                 backend_args: Optional[dict] = None,
                 collect_device: str = 'cpu',
                 prefix: Optional[str] = None,
                 dilation_ratio: float = 0.02,
                 federated: bool = False) -> None:
        metrics = [metric] if isinstance(metric, str) else list(metric)
        _check_arguments(metrics, proposal_nums, format_only, outfile_prefix,
                         backend)
        _check_variants(metrics, backend, dilation_ratio, federated)
        if '://' not in str(ann_file) and not os.path.isfile(ann_file):
            raise FileNotFoundError(
                f'`ann_file` of CocoMetric must exist, got {ann_file!r}. It '
                "is the annotation file of the evaluator's data loader; "
                'docs/data.md says how to get each data set.')
        self.ann_file = str(ann_file)
        self.backend = backend
        self.dilation_ratio = dilation_ratio
        self.federated = federated
        # The index is built by upstream and prints what nobody asked for.
        with _silence():
            super().__init__(
                ann_file=self.ann_file,
                # Upstream knows no boundaries.
                metric=[name for name in metrics if name in _METRICS],
                classwise=classwise,
                proposal_nums=proposal_nums,
                iou_thrs=None if iou_thrs is None else np.array(
                    iou_thrs, dtype=float).reshape(-1),
                format_only=format_only,
                outfile_prefix=outfile_prefix,
                backend_args=backend_args,
                collect_device=collect_device,
                prefix=prefix)
        self.metrics = metrics
        known = list(self._items())
        for item in metric_items or ():
            if item not in known:
                raise KeyError(f'`metric_items` of CocoMetric must be among '
                               f'{known}, got {item!r}.')
        self.metric_items = metric_items

    @property
    def dataset_meta(self) -> Optional[dict]:
        """``metainfo`` of the data set tested; its classes are checked."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        # Set by the runner before the first batch.
        if dataset_meta is not None and 'classes' in dataset_meta:
            categories = self._coco_api.dataset['categories']
            check_classes(dataset_meta['classes'], categories,
                          type(self).__name__, self.ann_file)
        self._dataset_meta = dataset_meta

    def compute_metrics(self, results: list) -> Dict[str, float]:
        """Compute the numbers from what ``process`` has collected.

        Args:
            results: A (ground truth, prediction) pair per image, of which
                only the prediction is read.

        Returns:
            The results named in the class's docstring; empty with
            ``format_only``.
        """
        check_class_list(
            (self.dataset_meta or {}).get('classes', ()), 'CocoMetric')
        categories = self._coco_api.dataset['categories']
        self.cat_ids = [category['id'] for category in categories]
        self.img_ids = self._coco_api.getImgIds()
        predictions = self._known_images(
            [prediction for _, prediction in results])
        found = {
            metric: self._to_coco(predictions, metric)
            for metric in self.metrics
        }
        if self.outfile_prefix is not None:
            for metric, entries in found.items():
                dump(entries, f'{self.outfile_prefix}.{metric}.json')
        if self.format_only:
            return {}
        numbers: Dict[str, float] = {}
        for metric, entries in found.items():
            numbers.update(self._evaluate(metric, entries))
        return numbers

    def _known_images(self, predictions: Sequence[dict]) -> List[dict]:
        """Return the predictions of the annotation file's images.

        Raises:
            ValueError: if there are others, unless ``federated``.
        """
        logger = MMLogger.get_current_instance()
        tested = {prediction['img_id'] for prediction in predictions}
        unknown = sorted(tested - set(self.img_ids))
        if unknown and self.federated:
            logger.info(f'{len(unknown)} of {len(tested)} images tested are '
                        f'not annotated in {self.ann_file}; left out.')
        elif unknown:
            raise ValueError(
                f'{len(unknown)} of {len(tested)} images tested are not in '
                f'{self.ann_file}, e.g. image id {unknown[0]}. `ann_file` of '
                'CocoMetric must be the annotation file of its data loader.')
        found = len(tested) - len(unknown)
        if found < len(self.img_ids):
            logger.warning(
                f'Only {found} of {len(self.img_ids)} images of '
                f'{self.ann_file} were tested; what is on the others counts '
                'as missed.')
        left_out = set(unknown)
        return [
            prediction for prediction in predictions
            if prediction['img_id'] not in left_out
        ]

    def _to_coco(self, predictions: Sequence[dict],
                 metric: str) -> List[Dict[str, Any]]:
        """Return COCO result entries of all images.

        Entries of masks have no box: with one, the evaluator would sort
        predictions into sizes by the box's area, not the mask's.
        """
        entries = []
        for prediction in predictions:
            scores = prediction['scores']
            if metric in _MASK_METRICS:
                if 'masks' not in prediction:
                    raise KeyError(
                        f'CocoMetric is to evaluate `{metric}`, but the model '
                        "predicts no masks. Set metric=['bbox'] or use a "
                        'model with a mask head.')
                scores = prediction.get('mask_scores', scores)
            for i, label in enumerate(prediction['labels']):
                entry = dict(
                    image_id=prediction['img_id'],
                    category_id=self.cat_ids[label],
                    score=float(scores[i]))
                if metric == 'bbox':
                    entry['bbox'] = self.xyxy2xywh(prediction['bboxes'][i])
                else:
                    entry['segmentation'] = _text_rle(prediction['masks'][i])
                entries.append(entry)
        return entries

    def _evaluate(self, metric: str,
                  entries: List[Dict[str, Any]]) -> Dict[str, float]:
        index, evaluator = _BACKENDS[self.backend]
        options = {}
        if self.federated:
            entries = self._looked_for(entries)
        if self.backend == 'faster':
            options = dict(
                boundary_dilation_ratio=self.dilation_ratio,
                lvis_style=self.federated)
        with _silence():
            truth = index()
            truth.dataset = self._annotations()
            truth.createIndex()
            if entries:
                found = truth.loadRes([dict(entry) for entry in entries])
            else:
                # pycocotools cannot load an empty list.
                found = index()
                found.dataset = {**truth.dataset, 'annotations': []}
                found.createIndex()
            run = evaluator(truth, found, metric, **options)
            run.params.catIds = self.cat_ids
            run.params.imgIds = self.img_ids
            run.params.maxDets = self.proposal_nums
            run.params.iouThrs = self.iou_thrs
            run.evaluate()
            run.accumulate()
        # (T thresholds, R recalls, K classes, A sizes, M limits) and
        # (T, K, A, M); sizes as in params.areaRngLbl.
        precision = np.asarray(run.eval['precision'])
        recall = np.asarray(run.eval['recall'])
        numbers = self._summarize(precision, recall, run.params)
        self._log(metric, numbers)
        kept = self.metric_items or list(numbers)
        results = {f'{metric}_{item}': numbers[item] for item in kept}
        if self.classwise:
            results.update(self._classwise(metric, precision, run.params))
        return results

    def _looked_for(self, entries: List[dict]) -> List[dict]:
        """Return the predictions of classes that their image was searched for.

        The evaluator would do it too, but stumbles over an image all of
        whose predictions it drops.
        """
        searched = {
            (image['id'], category)
            for image in self._coco_api.dataset['images']
            for category in image.get('neg_category_ids', ())
        }
        searched.update((annotation['image_id'], annotation['category_id'])
                        for annotation in self._coco_api.anns.values())
        return [
            entry for entry in entries
            if (entry['image_id'], entry['category_id']) in searched
        ]

    def _annotations(self) -> Dict[str, Any]:
        """Return the ground truth as the evaluator reads it."""
        dataset = self._coco_api.dataset
        if not self.federated:
            return dataset
        # The evaluator groups classes by frequency and wants one for each;
        # the groups are not read here.
        categories = [
            dict(frequency='f', **category)
            if 'frequency' not in category else category
            for category in dataset['categories']
        ]
        return {**dataset, 'categories': categories}

    def _items(self) -> Dict[str, tuple]:
        """Return result name -> (AP or AR, threshold, size, limit)."""
        last = self.proposal_nums[-1]
        main = 100 if 100 in self.proposal_nums else last
        items = dict(
            mAP=('AP', None, 'all', main),
            mAP_50=('AP', 0.5, 'all', last),
            mAP_75=('AP', 0.75, 'all', last))
        for letter, size in _SIZES.items():
            items[f'mAP_{letter}'] = ('AP', None, size, last)
        for limit in self.proposal_nums:
            items[f'AR@{limit}'] = ('AR', None, 'all', limit)
        for letter, size in _SIZES.items():
            items[f'AR_{letter}@{last}'] = ('AR', None, size, last)
        return items

    def _summarize(self, precision: np.ndarray, recall: np.ndarray,
                   params: Any) -> Dict[str, float]:
        labels = list(params.areaRngLbl)
        limits = list(params.maxDets)
        numbers = {}
        for name, (kind, threshold, size, limit) in self._items().items():
            table = precision if kind == 'AP' else recall
            table = table[..., labels.index(size), limits.index(limit)]
            if threshold is not None:
                table = table[np.isclose(self.iou_thrs, threshold)]
            numbers[name] = _mean(table)
        return numbers

    def _classwise(self, metric: str, precision: np.ndarray,
                   params: Any) -> Dict[str, float]:
        columns = [
            item for item, (kind, *_) in self._items().items() if kind == 'AP'
        ]
        rows = [['class', *columns]]
        results = {}
        for k, name in enumerate(self.dataset_meta['classes']):
            # Recall is not needed here: its columns are left out.
            numbers = self._summarize(precision[:, :, k:k + 1],
                                      precision[:, 0, k:k + 1], params)
            results[f'{metric}_{name}_precision'] = numbers['mAP']
            rows.append([name, *(f'{numbers[c]:.3f}' for c in columns)])
        MMLogger.get_current_instance().info(
            f'{metric} AP of each class\n{AsciiTable(rows).table}')
        return results

    def _log(self, metric: str, numbers: Dict[str, float]) -> None:
        text = '  '.join(f'{key} {value:.3f}'
                         for key, value in numbers.items())
        MMLogger.get_current_instance().info(f'{metric}: {text}')


def _check_arguments(metrics: Sequence[str], proposal_nums: Sequence[int],
                     format_only: bool, outfile_prefix: Optional[str],
                     backend: str) -> None:
    for metric in metrics:
        if metric not in _KNOWN_METRICS:
            raise KeyError(
                f'`metric` of CocoMetric must be among {_KNOWN_METRICS}, got '
                f'{metric!r}. Proposals are evaluated by mmdet.CocoMetric.')
    if len(proposal_nums) != 3 or list(proposal_nums) != sorted(
            set(proposal_nums)):
        raise ValueError('`proposal_nums` of CocoMetric must be three '
                         f'ascending ints, got {proposal_nums!r}.')
    if format_only and outfile_prefix is None:
        raise ValueError('`outfile_prefix` of CocoMetric must be given with '
                         '`format_only`: nothing would be kept without it.')
    if backend not in _BACKENDS:
        raise ValueError(f'`backend` of CocoMetric must be among '
                         f'{tuple(_BACKENDS)}, got {backend!r}.')


def _check_variants(metrics: Sequence[str], backend: str,
                    dilation_ratio: float, federated: bool) -> None:
    if not 0 < dilation_ratio < 1:
        raise ValueError('`dilation_ratio` of CocoMetric must be between 0 '
                         f'and 1, got {dilation_ratio!r}.')
    if backend != 'faster' and (federated or 'boundary' in metrics):
        raise ValueError(
            f'`backend` of CocoMetric must be \'faster\' for the metric '
            f'`boundary` and for `federated`, got {backend!r}: pycocotools '
            'has neither.')


def _mean(table: np.ndarray) -> float:
    """Return the mean over entries with ground truth, -1.0 without any."""
    valid = table[table > -1]
    return float(valid.mean()) if valid.size else -1.0


def _text_rle(rle: Dict[str, Any]) -> Dict[str, Any]:
    """Return an RLE that JSON can hold."""
    counts = rle['counts']
    if isinstance(counts, bytes):
        counts = counts.decode('ascii')
    return dict(size=[int(n) for n in rle['size']], counts=counts)


def _silence() -> contextlib.redirect_stdout:
    """Swallow the COCO tools' progress prints."""
    return contextlib.redirect_stdout(io.StringIO())
