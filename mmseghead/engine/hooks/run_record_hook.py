"""Run records: what ran, on what, and what came out."""
import datetime
import hashlib
import json
import os
import resource
import time
from pathlib import Path
from typing import Any, Dict, Optional

import torch
from mmengine.dist import get_world_size, master_only
from mmengine.hooks import Hook

from mmseghead.registry import HOOKS
from mmseghead.utils import run_environment
from mmseghead.utils.files import atomic_write, sha256_of
from mmseghead.utils.weights import SCHEME, find_weights

SCHEMA = 1


def record_path(work_dir: str, kind: str) -> Path:
    """Return where the record of a ``'train'`` or ``'test'`` run lies."""
    return Path(work_dir) / f'run_record_{kind}.json'


def mark_failed(work_dir: str, error: BaseException) -> None:
    """Note in a record still marked as running that its run has failed.

    Args:
        work_dir: The run's folder; without a running record nothing happens.
        error: What ended the run.
    """
    for kind in ('train', 'test'):
        path = record_path(work_dir, kind)
        if not path.exists():
            continue
        record = json.loads(path.read_text())
        if record['status'] == 'running' and record['process'] == os.getpid():
            record.update(
                status='failed',
                finished=_now(),
                error=f'{type(error).__name__}: {error}')
            _write(record, path)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(
        timespec='seconds')


def _write(record: Dict[str, Any], path: Path) -> None:
    with atomic_write(path) as file:
        json.dump(record, file, indent=1)
        file.write('\n')


@HOOKS.register_module()
class RunRecordHook(Hook):
    """Write ``run_record_{train,test}.json`` into the work folder.

    The record is the only source of published numbers: command, commit,
    config text and hash, hash of the annotation files, versions, hardware,
    schedule, times, peak memory and metrics, and the hash of the checkpoint
    the metrics belong to. It is written when the run starts, whenever
    metrics arrive and when the run ends, never in part. Times of a resumed
    run add to those of the record that lies in the work folder.
    """

    # After the checkpoint hook, so that the last checkpoint is there.
    priority = 'LOWEST'

    def __init__(self) -> None:
        self._record: Optional[Dict[str, Any]] = None
        self._path: Optional[Path] = None
        self._clock: Dict[str, float] = {}
        self._val_s = 0.
        self._carried: Dict[str, float] = {}

    def before_train(self, runner) -> None:
        """Start a training record."""
        self._start(runner, 'train')

    def before_test(self, runner) -> None:
        """Start a test record."""
        self._start(runner, 'test')

    def before_val_epoch(self, runner) -> None:
        """Start the clock of validation."""
        self._clock['val'] = time.monotonic()

    def after_val_epoch(self, runner,
                        metrics: Optional[Dict[str, float]] = None) -> None:
        """Keep the metrics of the latest validation."""
        if 'val' in self._clock:
            self._val_s += time.monotonic() - self._clock['val']
        self._update(runner, metrics)

    def after_test_epoch(self, runner,
                         metrics: Optional[Dict[str, float]] = None) -> None:
        """Keep the metrics of the test."""
        self._update(runner, metrics)

    def after_run(self, runner) -> None:
        """Finish the record."""
        if self._record is None or runner.rank != 0:
            return
        self._update(runner, None)
        self._record['checkpoint'] = self._checkpoint(runner)
        self._record.update(status='finished', finished=_now())
        self._save()

    @master_only
    def _start(self, runner, kind: str) -> None:
        self._clock['total'] = time.monotonic()
        self._path = record_path(runner.work_dir, kind)
        text = runner.cfg.pretty_text
        self._record = dict(
            schema=SCHEMA,
            kind=kind,
            status='running',
            process=os.getpid(),
            command=run_environment.command_line(
                run_environment.repository_root()),
            commit=run_environment.git_state(),
            config=dict(
                name=Path(runner.cfg.filename or runner.experiment_name).stem,
                path=_relative(runner.cfg.filename),
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                text=text),
            started=_now(),
            finished=None,
            versions=run_environment.versions(),
            hardware=dict(
                run_environment.hardware(),
                threads=torch.get_num_threads(),
                gpus=_gpu_names()),
            seed=runner.seed,
            world_size=get_world_size(),
            data=_describe_data(runner, kind),
            schedule={},
            times={},
            peak_memory_mib={},
            model=dict(
                parameters=sum(p.numel() for p in runner.model.parameters())),
            metrics={},
            checkpoint=None)
        self._carried = self._carry_over(runner, kind)
        self._update(runner, None)

    def _carry_over(self, runner, kind: str) -> Dict[str, float]:
        """Return the times of the run that this one resumes."""
        if kind != 'train' or runner.iter == 0 or not self._path.exists():
            return {}
        earlier = json.loads(self._path.read_text())
        self._record['resumed_at_iteration'] = runner.iter
        return earlier.get('times', {})

    @master_only
    def _update(self, runner, metrics: Optional[Dict[str, float]]) -> None:
        record = self._record
        if record is None:  # validation outside of a training run
            return
        total = time.monotonic() - self._clock['total']
        train = total - self._val_s if record['kind'] == 'train' else 0.
        spent = dict(total_s=total, train_s=train, val_s=self._val_s)
        record['times'] = {
            key: round(value + self._carried.get(key, 0.), 2)
            for key, value in spent.items()
        }
        if metrics is not None:
            record['metrics'] = {
                key: float(value) for key, value in metrics.items()
            }
        record['schedule'] = _describe_schedule(runner, record['kind'])
        record['peak_memory_mib'] = _peak_memory()
        self._save()

    @master_only
    def _save(self) -> None:
        _write(self._record, self._path)

    def _checkpoint(self, runner) -> Optional[Dict[str, str]]:
        path: Optional[str] = runner.cfg.get('load_from')
        if self._record['kind'] == 'train':
            pointer = Path(runner.work_dir) / 'last_checkpoint'
            path = pointer.read_text().strip() if pointer.exists() else None
        if path is not None and path.startswith(SCHEME):
            path = str(find_weights(path))
        if path is None or not Path(path).exists():
            return None
        return dict(file=Path(path).name, sha256=sha256_of(path))


def _relative(path: Optional[str]) -> Optional[str]:
    root = run_environment.repository_root()
    if path is None:
        return None
    resolved = Path(path).resolve()
    for folder in (root, Path.cwd()):
        if folder is not None and resolved.is_relative_to(folder):
            return str(resolved.relative_to(folder))
    return resolved.name


def _gpu_names() -> list:
    if not torch.cuda.is_available():
        return []
    return [
        torch.cuda.get_device_name(i)
        for i in range(torch.cuda.device_count())
    ]


def _peak_memory() -> Dict[str, Optional[float]]:
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    gpu = None
    if torch.cuda.is_available():
        gpu = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return dict(host=round(host, 1), gpu=gpu)


def _describe_schedule(runner, kind: str) -> Dict[str, Any]:
    loop = runner.test_loop if kind == 'test' else runner.train_loop
    loader = loop.dataloader
    batch = getattr(loader, 'batch_size', None) or getattr(
        loader.batch_sampler, 'batch_size', 1)
    done = len(loader) if kind == 'test' else runner.iter
    epochs = None
    if kind == 'train' and runner.train_loop.max_epochs > 1:
        epochs = runner.epoch
    return dict(
        epochs=epochs,
        iterations=done,
        batch_size=batch,
        images_seen=done * batch * get_world_size())


def _describe_data(runner, kind: str) -> Dict[str, Any]:
    loops = dict(test=runner.test_loop) if kind == 'test' else dict(
        train=runner.train_loop, val=runner.val_loop)
    described = {}
    for split, loop in loops.items():
        if loop is None:
            continue
        dataset = loop.dataloader.dataset
        while hasattr(dataset, 'dataset'):  # wrappers such as RepeatDataset
            dataset = dataset.dataset
        ann_file = getattr(dataset, 'ann_file', None)
        there = bool(ann_file) and Path(ann_file).exists()
        described[split] = dict(
            type=type(dataset).__name__,
            ann_file=_relative_data(ann_file),
            sha256=sha256_of(ann_file) if there else None,
            images=len(dataset),
            classes=list(dataset.metainfo.get('classes', ())))
    return described


def _relative_data(path: Optional[str]) -> Optional[str]:
    if path is None:
        return None
    # Not resolved: data folders are often links, and `data/...` is the name
    # that means something elsewhere.
    if os.path.isabs(path):
        relative = os.path.relpath(path)
        return Path(path).name if relative.startswith('..') else relative
    return path
