"""What the gallery lacks, found from run records and metafiles."""
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence

from mmseghead.utils import run_environment
from .gallery import GalleryModel, Training, find_models, read_trainings
from .model_index import ModelIndex
from .records import changed_settings, class_metrics

#: Trainings and their logs lie here, below the checkout.
WORK_DIR = Path('work_dirs', 'gallery')
KINDS = ('train', 'cost', 'latency', 'classes')
#: Seconds of steps on two cores; those of trainings come from the records.
_SECONDS = dict(data=30, train=600, cost=30, latency=60, classes=90)


@dataclass(frozen=True)
class Step:
    """One thing to do for one model.

    Args:
        kind: ``'data'`` (make the data set), ``'train'`` (train and publish),
            ``'cost'`` (parameters and FLOPs), ``'latency'``, or ``'classes'``
            (test the published weights for the AP of classes).
        model: The model.
        why: What is missing.
        seconds: How long it may take.
        seed: Of a training.
        main: Whether the training's weights are published, not its numbers
            alone.
    """
    kind: str
    model: GalleryModel
    why: str
    seconds: float
    seed: Optional[int] = None
    main: bool = True

    def __str__(self) -> str:
        seed = '' if self.main else f' seed {self.seed}'
        return f'{self.kind} {self.model.name}{seed}'


@dataclass(frozen=True)
class Wanted:
    """What the gallery shall hold.

    Args:
        methods: Stems of methods; all if empty.
        datasets: Data sets; all if empty.
        seeds: Of every model; the first is published with its weights.
        second_seeds: Names of models that shall have two seeds all the same.
        hardware: Where latencies shall come from, as metafiles name it.
        kinds: Of steps, some of ``KINDS``; all if empty.
    """
    methods: Sequence[str] = ()
    datasets: Sequence[str] = ()
    seeds: Sequence[int] = (0, )
    second_seeds: Sequence[str] = ()
    hardware: str = ''
    kinds: Sequence[str] = ()

    def seeds_of(self, model: GalleryModel) -> List[int]:
        """Return the seeds that a model shall be trained with."""
        seeds = list(self.seeds)
        if len(seeds) < 2 and model.name in self.second_seeds:
            seeds.append(max(seeds) + 1)
        return seeds


def latency_hardware(device: str, threads: int) -> str:
    """Return the name under which this machine's latencies are filed.

    Args:
        device: ``'cpu'`` or ``'cuda'``.
        threads: Of PyTorch on the CPU.
    """
    if device == 'cuda':
        import torch
        return torch.cuda.get_device_name()
    return f'{threads} threads of {run_environment.hardware()["cpu"]}'


def make_plan(index: ModelIndex, wanted: Wanted) -> List[Step]:
    """Return the steps that are missing.

    First come the trainings, then all latencies side by side, since those of
    one hour compare better than those of a day, and second seeds at last.

    Args:
        index: The index.
        wanted: What shall be there.

    Raises:
        ValueError: if a method or data set is not in the gallery.
    """
    models = find_models(index, wanted.methods, wanted.datasets)
    trainings = {model.name: read_trainings(index, model) for model in models}
    seconds = _training_seconds(trainings)
    first: List[Step] = []
    middle: List[Step] = []
    later: List[Step] = []
    for model in models:
        steps = list(_trainings(model, trainings[model.name],
                                wanted.seeds_of(model), seconds))
        main = [step for step in steps if step.main]
        first += main
        later += [step for step in steps if not step.main]
        middle += _measurements(index, model, wanted.hardware, bool(main))
    steps = [step for step in first + middle + later
             if step.kind in (wanted.kinds or KINDS)]
    return [*_data_steps(index.root, steps), *steps]


def _data_steps(root: Path, steps: Sequence[Step]) -> List[Step]:
    """Shapes are made where they are missing; nuclei come from elsewhere."""
    for step in steps:
        if step.model.dataset == 'shapes' and step.kind != 'cost' and not (
                root / 'data/shapes/val.json').is_file():
            return [Step('data', step.model, 'data/shapes is missing',
                         _SECONDS['data'])]
    return []


def _trainings(model: GalleryModel, there: Sequence[Training],
               seeds: Sequence[int],
               seconds: Mapping[str, float]) -> Iterator[Step]:
    """Yield the trainings that a model lacks."""
    has_main = bool(there) and not there[0].changed
    done = {item.seed for item in there if not item.changed}
    for seed in seeds:
        if seed in done and has_main:
            continue
        old = [item for item in there if item.seed == seed]
        if not there:
            why = 'no run record'
        elif old and old[0].changed:
            why = f'measured with another {", ".join(old[0].changed)}'
        else:
            why = f'no run record of seed {seed}'
        yield Step('train', model, why, seconds[model.name], seed,
                   main=not has_main)
        has_main = True


def _training_seconds(
        trainings: Mapping[str, Sequence[Training]]) -> Dict[str, float]:
    """Return how long the trainings take: as long as before."""
    known = {
        name: max(item.record['times']['total_s'] for item in items)
        for name, items in trainings.items() if items
    }
    typical = statistics.median(known.values()) if known else _SECONDS['train']
    return {name: known.get(name, typical) for name in trainings}


def _measurements(index: ModelIndex, model: GalleryModel, hardware: str,
                  trained_anew: bool) -> Iterator[Step]:
    """Yield the other numbers that a model lacks."""
    entry = model.entry
    if entry.flops is None or entry.parameters is None or trained_anew:
        why = 'trained anew' if trained_anew else 'not in the metafile'
        yield Step('cost', model, why, _SECONDS['cost'])
    fresh = [
        item for item in entry.latencies
        if item.get('hardware') == hardware and 'stages' in item
        and item.get('weights') == entry.weights_file
    ]
    if trained_anew or (entry.sha256 and not fresh):
        why = 'trained anew' if trained_anew else (
            f'none of these weights by stage on {hardware}')
        yield Step('latency', model, why, _SECONDS['latency'])
    # What is trained anew measures them itself, see `val_evaluator`.
    if (not trained_anew and entry.sha256 and model.masks
            and model.dataset == 'shapes'
            and not class_metrics(index.root, model.name)):
        yield Step('classes', model, 'no AP of classes',
                   _SECONDS['classes'])


def work_dir(root: Path, step: Step) -> Path:
    """Return the folder of a training."""
    suffix = f'.seed{step.seed}' if step.seed else ''
    return root / WORK_DIR / f'{step.model.name}{suffix}'


def state_of(folder: Path, config: Path) -> str:
    """Return what lies in a training's folder.

    Returns:
        ``'empty'``, ``'finished'`` or ``'begun'`` (both with the config as it
        is), or ``'stale'`` (of other settings, or without a record).
    """
    record_file = folder / 'run_record_train.json'
    if not record_file.is_file():
        return 'stale' if any(folder.glob('*.pth')) else 'empty'
    try:
        record: Dict[str, Any] = json.loads(record_file.read_text('utf-8'))
        if changed_settings(config, record):
            return 'stale'
    except (ValueError, KeyError, TypeError):
        return 'stale'
    return 'finished' if record.get('status') == 'finished' else 'begun'


def to_text(steps: Sequence[Step]) -> str:
    """Return a plan for the terminal, a step a line, with its reason."""
    if not steps:
        return 'Nothing is missing.'
    width = max(len(str(step)) for step in steps)
    lines = [
        f'{number:4}  {str(step):{width}}  {step.seconds / 60:5.1f} min  '
        f'{step.why}' for number, step in enumerate(steps, 1)
    ]
    total = sum(step.seconds for step in steps)
    lines.append(f'{len(steps)} steps, about {to_duration(total)}, by the '
                 'times in the run records.')
    return '\n'.join(lines)


def to_duration(seconds: float) -> str:
    """Return a duration as ``'2 h 05 min'`` or ``'7 min'``."""
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours} h {minutes:02} min' if hours else f'{minutes} min'
