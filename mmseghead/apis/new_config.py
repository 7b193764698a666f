"""A config of the zoo made ready for a user's own data."""
import copy
import difflib
import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from mmengine.config import Config

import mmseghead
from mmseghead.datasets.coco_json import read_coco
from mmseghead.utils import weights
from mmseghead.utils.files import PathLike, atomic_write
from .data_split import split_coco
from .model_index import load_index
from .schedules import Schedule, read_schedule, scale_schedule
from .train import load_config

# Sides are multiples of this, as pyramids like them.
_SIDE_STEP = 32
# A long side up to this is kept even if the config is made for smaller ones.
_KEPT_SIDE = 640


@dataclass(frozen=True)
class DataSource:
    """Images and their annotations.

    Args:
        ann_file: COCO JSON.
        images: Folder that its file names are relative to.
    """
    ann_file: Path
    images: Path


@dataclass(frozen=True)
class NewConfigOptions:
    """What to settle by hand; None: follow config and data.

    Args:
        batch_size: Images a step.
        image_size: (w, h) that images are resized to, keeping their ratio.
        epochs: How often each image is seen.
        val_percent: Share of images to validate on, where no validation set
            is given.
        load_from: Weights to begin with; ``'published'`` those of the zoo
            if there are any; ``'none'`` only the backbone's.

    Raises:
        ValueError: if a number is out of range.
    """
    batch_size: Optional[int] = None
    image_size: Optional[Tuple[int, int]] = None
    epochs: Optional[float] = None
    val_percent: int = 20
    load_from: str = 'published'

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(
                f'`batch_size` must be >= 1, got {self.batch_size}.')
        if self.image_size is not None and min(self.image_size) < _SIDE_STEP:
            raise ValueError(f'`image_size` must be (w, h) >= {_SIDE_STEP} '
                             f'px, got {self.image_size}.')
        if self.epochs is not None and self.epochs <= 0:
            raise ValueError(f'`epochs` must be > 0, got {self.epochs}.')
        if not 1 <= self.val_percent <= 90:
            raise ValueError('`val_percent` must be from 1 to 90, got '
                             f'{self.val_percent}.')


class NewConfig(NamedTuple):
    """The file written, and what was decided, one line each."""
    path: Path
    notes: List[str]


def new_config(name: str,
               train: DataSource,
               out: PathLike,
               val: Optional[DataSource] = None,
               options: NewConfigOptions = NewConfigOptions()) -> NewConfig:
    """Write a config that trains a model of the zoo on other data.

    It inherits the zoo's config and settles classes, files, image size,
    batch, schedule and learning rate. Head counts follow from ``classes``
    when it is run.

    Args:
        name: Name of a config of the zoo, or path of any config.
        train: The data.
        out: The file to write, ``.py``.
        val: Data to validate on. Without it a share of the training images is
            put aside, by a hash of their names; the two annotation files are
            written beside ``out``.
        options: What to settle by hand.

    Raises:
        FileExistsError: if ``out`` exists.
        FileNotFoundError: if the config, annotations or folders are missing.
        KeyError: if no config has this name; the nearest names are given.
        ValueError: if the annotations have errors, the class lists of
            training and validation differ, or ``out`` is no ``.py``.
    """
    out = Path(out)
    if out.suffix != '.py':
        raise ValueError(f'`out` must end in .py, got {str(out)!r}.')
    if out.exists():
        raise FileExistsError(f'{out} exists; choose another name.')
    path, base = find_config(name)
    notes: List[str] = []
    data = _read(train)
    if val is None:
        train, val, data = _split(train, data, out, options, notes)
    val_data = _read(val)
    classes = _classes(data, val_data)
    cfg = load_config(str(path))
    size = options.image_size or _pick_size(cfg, data, notes)
    schedule = scale_schedule(
        read_schedule(cfg), len(data['images']), options.batch_size,
        options.epochs)
    notes += schedule.notes()
    content = dict(classes=classes)
    content.update(_data_settings(cfg, train, val, size, schedule))
    content.update(schedule.settings(_metric(cfg)))
    start = _weights(path.stem, options.load_from, notes)
    if start:
        content['load_from'] = start
    text = _header(path.stem) + f'_base_ = {base!r}\n' + Config(
        content).pretty_text
    with atomic_write(out) as file:
        file.write(text)
    return NewConfig(out, notes)


def find_config(name: str) -> Tuple[Path, str]:
    """Return a config's file, and how to write it as ``_base_``.

    Args:
        name: The name of a config of the zoo, or a path.

    Raises:
        KeyError: if there is none; the nearest names are given.
    """
    given = Path(name)
    if given.suffix == '.py' and given.is_file():
        return given, str(given.resolve())
    root = load_index().root
    configs = {path.stem: path for path in root.glob('configs/*/*.py')}
    if name not in configs:
        near = difflib.get_close_matches(name, configs, n=3, cutoff=0.3)
        raise KeyError(f'No config of the zoo is named {name!r}. Near are '
                       f'{", ".join(near)}; model_index.yml lists all.')
    path = configs[name]
    linked = Path(mmseghead.__file__).parent / '.mim/configs'
    if linked.is_dir():
        return path, f'mmseghead::{path.parent.name}/{path.name}'
    return path, str(path.resolve())


def _header(stem: str) -> str:
    return (f'# Made from {stem} by tools/misc/new_config.py: edit as you '
            'like, and look at it\n# with tools/misc/check_config.py.\n')


def _read(source: DataSource) -> Dict[str, Any]:
    if not Path(source.images).is_dir():
        raise FileNotFoundError(f'There is no image folder {source.images}.')
    return read_coco(source.ann_file)


def _split(train: DataSource, data: Dict[str, Any], out: Path,
           options: NewConfigOptions, notes: List[str]) -> Tuple:
    """Put images aside for validation."""
    parts = split_coco(data, options.val_percent)
    sources = []
    for mode, part in zip(('train', 'val'), parts):
        path = out.with_name(f'{out.stem}_{mode}.json')
        with atomic_write(path) as file:
            json.dump(part, file)
        sources.append(DataSource(path, train.images))
        notes.append(f'{len(part["images"])} images for {mode}: {path}')
    return sources[0], sources[1], parts[0]


def _classes(data: Dict[str, Any], val: Dict[str, Any]) -> Tuple[str, ...]:
    names = tuple(item['name'] for item in data['categories'])
    others = tuple(item['name'] for item in val['categories'])
    if names != others:
        raise ValueError('Training and validation must list the same '
                         f'categories in one order, got {names} and '
                         f'{others}.')
    return names


def _pick_size(cfg: Config, data: Dict[str, Any],
               notes: List[str]) -> Tuple[int, int]:
    """Choose (w, h): the images' median size, no larger than is usual."""
    width, height = (
        statistics.median(image[side] for image in data['images'])
        for side in ('width', 'height'))
    usual = max(max(scale) for scale in _scales(cfg))
    shrink = min(1., max(usual, _KEPT_SIDE) / max(width, height))
    size = tuple(
        max(round(side * shrink / _SIDE_STEP), 1) * _SIDE_STEP
        for side in (width, height))
    notes.append(f'images: median {width:g} x {height:g} px, resized to fit '
                 f'into {size[0]} x {size[1]}')
    return size


def _scales(cfg: Config) -> List[Tuple[int, int]]:
    found = [
        tuple(step['scale'])
        for step in _steps(cfg.test_dataloader.dataset)
        if isinstance(step.get('scale'), (list, tuple))
        and not isinstance(step['scale'][0], (list, tuple))
    ]
    return found or [(_KEPT_SIDE, _KEPT_SIDE)]


def _steps(dataset: Any) -> Iterator[Dict[str, Any]]:
    """Yield the transforms of a data set's pipeline, nested ones too."""
    while dataset.get('pipeline') is None and 'dataset' in dataset:
        dataset = dataset['dataset']
    waiting = list(dataset['pipeline'])
    while waiting:
        step = waiting.pop(0)
        yield step
        for value in step.values():
            if isinstance(value, (list, tuple)):
                waiting += [item for item in value if isinstance(item, dict)]


def _data_settings(cfg: Config, train: DataSource, val: DataSource,
                   size: Tuple[int, int],
                   schedule: Schedule) -> Dict[str, Any]:
    settings: Dict[str, Any] = {}
    for mode, source in (('train', train), ('val', val)):
        loader = cfg[f'{mode}_dataloader']
        dataset = dict(
            _delete_=True,
            type='mmseghead.InstanceDataset',
            ann_file=str(Path(source.ann_file).resolve()),
            data_prefix=dict(img=str(Path(source.images).resolve())),
            pipeline=_resized(loader.dataset, size))
        if mode == 'train':
            dataset['filter_cfg'] = dict(filter_empty_gt=True, min_size=1)
            settings['train_dataloader'] = dict(
                batch_size=schedule.batch_size,
                sampler=dict(
                    _delete_=True,
                    type='mmseghead.SeededInfiniteSampler',
                    shuffle=True),
                dataset=dataset)
        else:
            dataset['test_mode'] = True
            settings['val_dataloader'] = dict(dataset=dataset)
    settings['test_dataloader'] = settings['val_dataloader']
    for mode in ('val', 'test'):
        settings[f'{mode}_evaluator'] = _evaluator(cfg, mode, val)
    return settings


def _evaluator(cfg: Config, mode: str, val: DataSource) -> Dict[str, Any]:
    old = cfg[f'{mode}_evaluator']
    if isinstance(old, (list, tuple)):
        old = old[0]
    metric = old.get('metric', ['bbox', 'segm'])
    return dict(
        _delete_=True,
        type='mmseghead.CocoMetric',
        ann_file=str(Path(val.ann_file).resolve()),
        metric=[metric] if isinstance(metric, str) else list(metric))


def _resized(dataset: Any, size: Tuple[int, int]) -> List[Dict[str, Any]]:
    """Return a pipeline whose images fit into ``size``."""
    while dataset.get('pipeline') is None and 'dataset' in dataset:
        dataset = dataset['dataset']
    dataset = copy.deepcopy(
        dataset.to_dict() if hasattr(dataset, 'to_dict') else dict(dataset))
    for step in _steps(dataset):
        scale = step.get('scale')
        if isinstance(scale, (list, tuple)):
            if isinstance(scale[0], (list, tuple)):
                step['scale'] = _resized_range(scale, size)
            else:
                step['scale'] = size
        if step['type'].split('.')[-1] == 'RandomChoiceResize':
            step['scales'] = _resized_range(step['scales'], size)
    return dataset['pipeline']


def _resized_range(scales: Any,
                   size: Tuple[int, int]) -> List[Tuple[int, int]]:
    """Scale a list of sizes so that the largest becomes ``size``."""
    short = max(min(scale) for scale in scales)
    return [
        tuple(
            max(math.floor(side * min(scale) / short), 1) for side in size)
        for scale in scales
    ]


def _metric(cfg: Config) -> str:
    """Return by which number the best checkpoint is chosen."""
    evaluator = cfg.val_evaluator
    if isinstance(evaluator, (list, tuple)):
        evaluator = evaluator[0]
    metric = evaluator.get('metric', 'bbox')
    return 'coco/segm_mAP' if 'segm' in metric else 'coco/bbox_mAP'


def _weights(stem: str, wanted: str, notes: List[str]) -> Optional[str]:
    if wanted == 'none':
        return None
    if wanted != 'published':
        return wanted
    entries = [entry for entry in load_index().models if entry.name == stem]
    url = entries[0].weights if entries else ''
    if url.startswith('mmseghead://') and not weights.find_weights(
            url.rsplit('/', 1)[-1]):
        notes.append(f'the published weights {url} are not in the mirror '
                     'here: training begins with the backbone\'s')
        return None
    notes.append(f'begins with {url}' if url else
                 'no weights of the whole model are published: training '
                 'begins with the backbone\'s')
    return url or None
