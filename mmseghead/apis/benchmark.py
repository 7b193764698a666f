"""Latency and peak memory of a model, in all and per stage.

Timed is ``model.test_step``: preprocessing, network, decoding, and pasting of
masks into the original image; loading and resizing of images is not.
"""
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import (Any, Dict, Iterator, List, Mapping, Optional, Sequence,
                    Tuple, Union)

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.runner import load_checkpoint
from torch import nn

from mmseghead.registry import DATASETS, METRICS
from mmseghead.utils import run_environment
from .cost import build_model, test_shape
from .metafile import find_entry, read_metafile, write_entry
from .model_index import LATENCY_KEY, ModelEntry
from .stages import StageTracker
from .train import without_denormals

_MODES = dict(float32='FP32', float16='FP16', bfloat16='BF16')
_SAME_SETUP = ('hardware', 'backend', 'batch size', 'mode', 'resolution')


@dataclass(frozen=True)
class BenchmarkOptions:
    """How to measure.

    Args:
        images: Number of timed images, a multiple of ``batch_size``.
        warmup: Batches before the clock starts.
        batch_size: Images per step.
        device: ``'cpu'`` or ``'cuda'``.
        threads: Threads of PyTorch on the CPU; as it is if None.
        dtype: ``'float32'``, or ``'float16'`` or ``'bfloat16'`` by autocast.

    Raises:
        ValueError: if a number or name is out of range.
    """
    images: int = 50
    warmup: int = 5
    batch_size: int = 1
    device: str = 'cpu'
    threads: Optional[int] = None
    dtype: str = 'float32'

    def __post_init__(self) -> None:
        if self.dtype not in _MODES:
            raise ValueError(f'`dtype` must be one of {", ".join(_MODES)}, '
                             f'got {self.dtype!r}.')
        if self.batch_size < 1 or self.images < 1 or self.warmup < 0 or (
                self.images % self.batch_size):
            raise ValueError(
                '`batch_size` must be >= 1, `warmup` >= 0 and `images` a '
                f'positive multiple of `batch_size`, got {self.batch_size}, '
                f'{self.warmup} and {self.images}.')
        if self.device.startswith('cuda') and not torch.cuda.is_available():
            raise ValueError("`device` must be 'cpu': PyTorch finds no GPU.")


def benchmark(config: Union[Config, str, Path],
              checkpoint: Optional[str] = None,
              options: BenchmarkOptions = BenchmarkOptions()
              ) -> Dict[str, Any]:
    """Measure latency and memory of a config's model.

    Args:
        config: A config or its path.
        checkpoint: Weights. Without them the model finds noise or nothing,
            and the time of decoding and pasting means little.
        options: How to measure.

    Returns:
        What was measured and on what, ready for JSON: ``latency_ms`` (median,
        mean, p90, p99 per image), ``stages_ms`` (median per image; heads
        and their decoding apart, ``paste`` for masks put into the original
        image), ``evaluation_ms`` (per image, not part of the latency: ``rle``
        for encoding the result, ``metric`` for computing the numbers; None
        without test data), ``images_per_s``, ``peak_memory_mib`` of
        the whole process, ``hardware``, ``versions``.
    """
    config = config if isinstance(config, Config) else Config.fromfile(config)
    model = build_model(config)
    if checkpoint is not None:
        load_checkpoint(model, str(checkpoint), map_location='cpu')
    model.to(options.device)
    before = torch.get_num_threads()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    try:
        samples, source = load_samples(config, options.images)
        metric = _metric(config) if source == 'test data' else None
        with without_denormals():  # as the runs do
            totals, stages, evaluation = _time(model, samples, options,
                                               metric)
        threads = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    height, width = test_shape(config)
    return dict(
        config=Path(config.filename or 'config').stem,
        weights=Path(str(checkpoint)).name if checkpoint else 'random',
        images=options.images,
        image_source=source,
        batch_size=options.batch_size,
        mode=_MODES[options.dtype],
        resolution=f'({width}, {height})',
        latency_ms=_summary(totals),
        stages_ms={
            name: round(float(np.median(times)), 3)
            for name, times in stages.items()
        },
        evaluation_ms=evaluation,
        images_per_s=round(1000 * len(totals) / sum(totals), 2),
        peak_memory_mib=_peak_memory(options.device),
        device=options.device,
        threads=threads,
        hardware={**run_environment.hardware(), 'gpu': _gpu(options.device)},
        versions=run_environment.versions())


def load_samples(config: Config,
                 count: int) -> Tuple[List[Dict[str, Any]], str]:
    """Return images as the test pipeline gives them, and where from.

    The first ones of the test data, repeated if there are fewer; noise of
    the test size where the data is absent.
    """
    try:
        dataset = DATASETS.build(config.test_dataloader.dataset)
        distinct = [dataset[i] for i in range(min(count, len(dataset)))]
    except FileNotFoundError:
        distinct = []
    if not distinct:
        return [_noise(test_shape(config), seed=i) for i in range(count)], \
            'random'
    return [distinct[i % len(distinct)] for i in range(count)], 'test data'


def _noise(img_shape: Tuple[int, int], seed: int) -> Dict[str, Any]:
    from mmdet.structures import DetDataSample
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(
        256, (3, *img_shape), dtype=torch.uint8, generator=generator)
    meta = dict(img_id=seed, img_path='', img_shape=img_shape,
                ori_shape=img_shape, scale_factor=(1.0, 1.0))
    return dict(inputs=inputs, data_samples=DetDataSample(metainfo=meta))


def _time(model: nn.Module, samples: Sequence[Mapping[str, Any]],
          options: BenchmarkOptions, metric: Optional[BaseMetric]
          ) -> Tuple[List[float], Dict[str, List[float]], Optional[Dict]]:
    """Return milliseconds per image: of batches, stages and evaluation."""
    clock = _StageClock(options.device)
    tracker = StageTracker(clock.book)
    totals: List[float] = []
    stages: Dict[str, List[float]] = {}
    encoding: List[float] = []
    batches = list(_batches(samples, options.batch_size))
    warmup = [batches[i % len(batches)] for i in range(options.warmup)]
    autocast = torch.autocast(
        torch.device(options.device).type,
        dtype=getattr(torch, options.dtype),
        enabled=options.dtype != 'float32')
    with torch.no_grad(), autocast, tracker.watching(
            model, split_decoding=True):
        for i, batch in enumerate(warmup + batches):
            clock.start()
            outputs = model.test_step(batch)
            clock.book(tracker.current)
            if i < len(warmup):
                continue
            if metric is not None:
                start = time.perf_counter()
                metric.process(batch, [item.to_dict() for item in outputs])
                encoding.append(time.perf_counter() - start)
            per_image = 1000 / options.batch_size
            totals.append(sum(clock.seconds.values()) * per_image)
            for name, seconds in clock.seconds.items():
                stages.setdefault(name, []).append(seconds * per_image)
    return totals, stages, _evaluation(metric, encoding, options.images)


def _metric(config: Config) -> Optional[BaseMetric]:
    """Build the metric of a config's test, with the classes of its data."""
    evaluator = config.get('test_evaluator')
    if isinstance(evaluator, (list, tuple)):
        evaluator = evaluator[0]
    if not evaluator:
        return None
    metric = METRICS.build(evaluator)
    metric.dataset_meta = DATASETS.build(
        config.test_dataloader.dataset).metainfo
    return metric


def _evaluation(metric: Optional[BaseMetric], encoding: Sequence[float],
                images: int) -> Optional[Dict[str, float]]:
    """Return milliseconds per image of encoding and of the numbers."""
    if metric is None:
        return None
    # An image that was timed twice counts once.
    found = {result[1]['img_id']: result for result in metric.results}
    start = time.perf_counter()
    metric.compute_metrics(list(found.values()))
    spent = time.perf_counter() - start
    return dict(
        rle=round(1000 * sum(encoding) / images, 3),
        metric=round(1000 * spent / len(found), 3))


def _batches(samples: Sequence[Mapping[str, Any]],
             size: int) -> Iterator[Dict[str, List[Any]]]:
    for start in range(0, len(samples), size):
        part = samples[start:start + size]
        yield {key: [sample[key] for sample in part] for key in part[0]}


class _StageClock:
    """Books the time since the last booking under a name."""

    def __init__(self, device: str) -> None:
        self._device = device
        self.seconds: Dict[str, float] = {}
        self._last = 0.0

    def start(self) -> None:
        self.seconds = {}
        self._last = self._now()

    def book(self, name: str) -> None:
        now = self._now()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now

    def _now(self) -> float:
        if self._device.startswith('cuda'):
            # Kernels run on after the call that starts them has returned.
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _summary(milliseconds: Sequence[float]) -> Dict[str, float]:
    figures = dict(
        median=np.median(milliseconds),
        mean=np.mean(milliseconds),
        p90=np.percentile(milliseconds, 90),
        p99=np.percentile(milliseconds, 99))
    return {name: round(float(value), 3) for name, value in figures.items()}


def _gpu(device: str) -> Optional[str]:
    cuda = device.startswith('cuda')
    return torch.cuda.get_device_name(device) if cuda else None


def _peak_memory(device: str) -> Dict[str, Optional[float]]:
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    gpu = None
    if device.startswith('cuda'):
        gpu = round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return dict(host=round(host, 1), gpu=gpu)


def latency_item(result: Mapping[str, Any]) -> Dict[str, Any]:
    """Return a benchmark's result as a metafile states it.

    Beside the setup it names the weights, the milliseconds of each stage and
    the peak memory of the process, on the GPU if there is one.
    """
    hardware = result['hardware']
    name = hardware.get('gpu') or (
        f'{result["threads"]} threads of {hardware["cpu"]}')
    backend = result['versions']['ops_backend']
    memory = result['peak_memory_mib']
    return {
        'value': round(result['latency_ms']['median'], 1),
        'hardware': name,
        'backend': f'PyTorch ({backend} ops)',
        'batch size': result['batch_size'],
        'mode': result['mode'],
        'resolution': result['resolution'],
        'weights': result['weights'],
        'stages': {
            stage: round(value, 1)
            for stage, value in result['stages_ms'].items()
        },
        'peak memory (MiB)': round(memory['gpu'] or memory['host'])
    }


def write_latency(entry: ModelEntry, result: Mapping[str, Any]) -> bool:
    """Put a result into an entry's metafile, in place of an equal setup's.

    Returns:
        Whether the metafile changed.

    Raises:
        ValueError: if the result is of another config, of random weights or
            of noise: such times are not published.
    """
    if result['config'] != entry.name:
        raise ValueError(f'The result is of {result["config"]!r}, the entry '
                         f'of {entry.name!r}.')
    if result['weights'] == 'random' or result['image_source'] == 'random':
        raise ValueError(
            'Latencies are published for trained weights on the test images, '
            f'got {result["weights"]} weights and {result["image_source"]} '
            'images: what is found decides the time of the masks. Give '
            '--checkpoint, and see docs/datasets.md for the data.')
    item = latency_item(result)
    content = dict(find_entry(read_metafile(entry.metafile), entry.name))
    metadata = dict(content.get('Metadata') or {})
    others = [
        old for old in metadata.get(LATENCY_KEY) or []
        if any(old.get(key) != item[key] for key in _SAME_SETUP)
    ]
    metadata[LATENCY_KEY] = [*others, item]
    content['Metadata'] = metadata
    return write_entry(entry.metafile, content)
