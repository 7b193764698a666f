"""The gallery: the quick model of every method, and what is known of each.

Everything is read from run records and metafiles, nothing from work folders.
"""
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from mmengine.config import Config

from .compare import METRICS
from .model_index import ModelEntry, ModelIndex
from .records import (RECORDS, Record, asks_for_boxes_only, changed_settings,
                      class_metrics, published_metrics, read_record)

#: Data sets of the gallery, in the order of its page.
DATASETS = ('shapes', 'nuclei')
#: Costs, for which lower is better -> unit.
COSTS = {
    'latency': 'ms',
    'GFLOPs': '',
    'params': 'M',
    'memory': 'MiB',
    'training memory': 'MiB',
    'training time': 'min',
}
_QUICK = re.compile(r'(?P<stem>.+)_quick_(?P<dataset>[a-z]+)')


@dataclass(frozen=True)
class GalleryModel:
    """The quick model of a method on a data set.

    Args:
        stem: Name of the method in config names, such as ``point-rend``.
        dataset: ``'shapes'`` or ``'nuclei'``.
        label: Name of the method for readers.
        two_stage: Whether it looks at each box again (a RoI head).
        masks: Whether it predicts masks; boxes alone otherwise.
        entry: Its entry of the index.
    """
    stem: str
    dataset: str
    label: str
    two_stage: bool
    masks: bool
    entry: ModelEntry

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def metric(self) -> str:
        """The metric that counts first."""
        return 'mask AP' if self.masks else 'box AP'


@dataclass(frozen=True)
class Training:
    """A published training.

    Args:
        seed: Of the run.
        file: Its record, relative to the checkout.
        record: The record.
        metrics: Metric -> value on the 0-100 scale.
        changed: Settings that the config states otherwise by now.
    """
    seed: int
    file: str
    record: Record
    metrics: Mapping[str, float]
    changed: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Measured:
    """A model of the gallery with its numbers.

    Args:
        model: The model.
        trainings: The published one first, then further seeds.
        classes: Class -> mask AP of the published one, 0-100.
        latency: Item of the metafile, of the page's hardware, if measured.
    """
    model: GalleryModel
    trainings: Tuple[Training, ...] = ()
    classes: Mapping[str, float] = None
    latency: Optional[Mapping[str, Any]] = None

    @property
    def current(self) -> bool:
        """Whether the published training is one of the config as it is."""
        return bool(self.trainings) and not self.trainings[0].changed

    def value(self, metric: str) -> Optional[float]:
        """Return a number of the published training, None if unknown.

        Args:
            metric: One of ``METRICS`` or ``COSTS``, or ``'<class> AP'``.
        """
        if metric in METRICS:
            return (self.trainings[0].metrics.get(metric)
                    if self.trainings else None)
        if metric in COSTS:
            return self._cost(metric)
        return (self.classes or {}).get(metric.removesuffix(' AP'))

    def values(self, metric: str) -> List[float]:
        """Return a number of each training with the present recipe."""
        if metric not in METRICS:
            value = self.value(metric)
            return [value] if self.current and value is not None else []
        return [
            training.metrics[metric] for training in self.trainings
            if not training.changed and metric in training.metrics
        ]

    def _cost(self, metric: str) -> Optional[float]:
        entry = self.model.entry
        if metric == 'latency':
            return self.latency and self.latency['value']
        if metric == 'memory':
            return self.latency and self.latency.get('peak memory (MiB)')
        if metric == 'GFLOPs':
            return entry.flops and entry.flops / 1e9
        if metric == 'params':
            return entry.parameters and entry.parameters / 1e6
        if not self.trainings:
            return None
        record = self.trainings[0].record
        if metric == 'training time':
            seconds = (record.get('times') or {}).get('train_s')
            return seconds and seconds / 60
        memory = record.get('peak_memory_mib') or {}
        return memory.get('gpu') or memory.get('host')


def find_models(index: ModelIndex,
                methods: Sequence[str] = (),
                datasets: Sequence[str] = ()) -> List[GalleryModel]:
    """Return the models of the gallery: one a method and data set.

    They are the quick configs of the index, ``<method>_quick_<data set>``,
    but for variants (see ``ModelIndex.is_variant``).

    Args:
        index: The index.
        methods: Only these, by stem; all if empty.
        datasets: Only these; all if empty.

    Raises:
        ValueError: if a method or data set is not in the gallery; says which
            are.
    """
    quick: List[Tuple[str, str, ModelEntry]] = []
    for entry in index.models:
        match = _QUICK.fullmatch(entry.name)
        if match and match['dataset'] in DATASETS and not index.is_variant(
                entry.name):
            quick.append((match['stem'], match['dataset'], entry))
    stems = list(dict.fromkeys(stem for stem, _, _ in quick))
    _check_names('methods', methods, stems)
    _check_names('datasets', datasets, DATASETS)
    shared: Dict[str, set] = defaultdict(set)
    for stem, _, entry in quick:
        shared[entry.collection].add(stem)
    return [
        _gallery_model(index, stem, entry, len(shared[entry.collection]) > 1)
        for dataset in DATASETS if dataset in (datasets or DATASETS)
        for stem, of, entry in quick
        if of == dataset and stem in (methods or stems)
    ]


def _check_names(what: str, names: Sequence[str],
                 known: Sequence[str]) -> None:
    wrong = [name for name in names if name not in known]
    if wrong:
        raise ValueError(f'`{what}` of the gallery must be some of '
                         f'{", ".join(known)}, got {", ".join(wrong)}.')


def _gallery_model(index: ModelIndex, stem: str, entry: ModelEntry,
                   shared: bool) -> GalleryModel:
    path = index.root / entry.config
    detector, two_stage, masks = _traits(path, path.stat().st_mtime_ns)
    label = f'{entry.collection}-{detector}' if shared else entry.collection
    return GalleryModel(stem, _QUICK.fullmatch(entry.name)['dataset'], label,
                        two_stage, masks, entry)


@lru_cache(maxsize=None)
def _traits(path: Path, changed_ns: int) -> Tuple[str, bool, bool]:
    """Return detector, presence of a RoI head and of masks of a config."""
    config = Config.fromfile(path)
    model = config.get('model') or {}
    detector = str(model.get('type', '?')).split('.')[-1]
    return detector, 'roi_head' in model, not asks_for_boxes_only(config)


def read_trainings(index: ModelIndex,
                   model: GalleryModel) -> Tuple[Training, ...]:
    """Return the published trainings of a model, the first being the one
    whose weights and numbers its metafile states; empty if it states none.

    Raises:
        ValueError: if a record is damaged, or its run did not finish.
    """
    if not model.entry.run_record:
        return ()
    first = index.root / model.entry.run_record
    paths = [first] if first.is_file() else []
    paths += sorted((index.root / RECORDS).glob(f'{model.name}.seed*.json'))
    return tuple(_training(index, model, path) for path in paths)


def _training(index: ModelIndex, model: GalleryModel,
              path: Path) -> Training:
    record = read_record(path, 'train')
    config = index.root / model.entry.config
    times = path.stat().st_mtime_ns, config.stat().st_mtime_ns
    changed = _changed(config, path, times)
    return Training(record['seed'], path.relative_to(index.root).as_posix(),
                    record, published_metrics(record), changed)


@lru_cache(maxsize=None)  # a run of the gallery asks before and after
def _changed(config: Path, path: Path,
             times: Tuple[int, int]) -> Tuple[str, ...]:
    """Read it from config and record as they were at these times."""
    return tuple(changed_settings(config, read_record(path, 'train')))


def measure(index: ModelIndex,
            models: Sequence[GalleryModel]) -> List[Measured]:
    """Return what run records and metafiles say of the models.

    Latencies are those of one hardware, the one with most of them.
    """
    hardware = gallery_hardware(models)
    return [
        Measured(
            model, read_trainings(index, model), {
                name: 100 * value
                for name, value in class_metrics(index.root,
                                                 model.name).items()
            }, latency_of(model, hardware)) for model in models
    ]


def gallery_hardware(models: Sequence[GalleryModel]) -> str:
    """Return the hardware of most latencies of these models, or ''."""
    counts = Counter(
        str(item.get('hardware')) for model in models
        for item in model.entry.latencies)
    # Of equally frequent ones the first by name: pages must not flicker.
    return min(counts, key=lambda name: (-counts[name], name), default='')


def latency_of(model: GalleryModel,
               hardware: str) -> Optional[Mapping[str, Any]]:
    """Return the latency of single images in FP32 on a hardware.

    None if it was not measured, or with weights that were replaced since.
    """
    for item in model.entry.latencies:
        weights = item.get('weights', model.entry.weights_file)
        if (item.get('hardware'), item.get('batch size'), item.get('mode'),
                weights) == (hardware, 1, 'FP32', model.entry.weights_file):
            return item
    return None
