"""Doing what the gallery lacks, for as long as there is time."""
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence

from mmseghead.utils import atomic_write
from .gallery import find_models
from .gallery_page import PAGE, wanted_seeds, write_page
from .gallery_pictures import draw_pictures
from .gallery_plan import (WORK_DIR, Step, Wanted, make_plan, state_of,
                           to_duration, work_dir)
from .model_index import find_weights, load_index
from .publish import publish_model
from .readme_tables import update_readmes
from .records import canonical, class_test_file, read_record

#: Seconds that an interrupted training may take to end.
_GRACE_S = 60
#: Of log lines that say how far a training is, every so many-th is shown.
_SHOWN_LINES = 6


class StepFailed(Exception):
    """A step did not come to its end; says why."""


class OutOfTime(Exception):
    """The budget is spent; what was begun can be resumed."""


@dataclass(frozen=True)
class RunOptions:
    """How to do the steps.

    Args:
        budget_min: Minutes after which to stop; None: when all is done.
        device: ``'cpu'`` or ``'cuda'``.
        threads: Of PyTorch when latencies are measured on the CPU.
        images: To measure latencies on.

    Raises:
        ValueError: if a number is not positive.
    """
    budget_min: Optional[float] = None
    device: str = 'cpu'
    threads: int = 2
    images: int = 40

    def __post_init__(self) -> None:
        for name in ('budget_min', 'threads', 'images'):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f'`{name}` of the gallery must be positive, '
                                 f'got {value!r}.')


class GalleryRun:
    """Does steps one after the other.

    A training is a process of its own, so that its crash ends nothing else.
    One that is cut off by the budget, by Ctrl-C or by a crash goes on from
    its last checkpoint the next time. Several processes may work on one
    checkout: each leaves alone what another one is training.

    Args:
        root: The checkout.
        options: How to do it.

    Attributes:
        failures: Step -> reason.
        done: Steps that were done.
    """

    def __init__(self, root: Path, options: RunOptions) -> None:
        self.root, self.options = Path(root), options
        self.failures: Dict[str, str] = {}
        self.done: List[Step] = []
        self._begin = time.monotonic()
        self._elsewhere: List[str] = []
        self._expected_s = 0.0
        self._spent_s = 0.0

    def __call__(self, steps: Sequence[Step]) -> bool:
        """Do the steps.

        Returns:
            Whether all of them were tried; False if the time ran out.
        """
        for number, step in enumerate(steps, 1):
            if step.model.name in self._left_out():
                continue
            print(f'[{number}/{len(steps)}] {step} ({step.why}); about '
                  f'{to_duration(self._remaining_s(steps[number - 1:]))} to '
                  'go', flush=True)
            begin = time.monotonic()
            try:
                self._check_time()
                if not self._do(step):
                    continue
            except OutOfTime:
                print('The time is up; run again to go on.', flush=True)
                return False
            except (StepFailed, ValueError, FileNotFoundError) as error:
                self.failures[str(step)] = str(error)
                print(f'FAILED: {error}', flush=True)
            else:
                self.done.append(step)
                if step.kind == 'train':
                    self._spent_s += time.monotonic() - begin
                    self._expected_s += step.seconds
        return True

    def is_new(self, step: Step) -> bool:
        """Whether a step was not tried before, and can be."""
        return (step.model.name not in self._left_out()
                and str(step) not in self.failures
                and step not in self.done)

    def write_pages(self, wanted: Wanted) -> None:
        """Draw missing pictures, renew the tables of READMEs and the page."""
        index = load_index(self.root)
        models = find_models(index, wanted.methods, wanted.datasets)
        for name, reason in draw_pictures(index, models,
                                          self.options.device).items():
            print(f'no pictures of {name}: {reason}', flush=True)
        for path in update_readmes(self.root):
            print(f'renewed {path.relative_to(self.root)}')
        if write_page(self.root):
            print(f'renewed {PAGE}')

    def _left_out(self) -> List[str]:
        """Return the models without a training to go on from."""
        return self._elsewhere + [
            name.split()[1] for name in self.failures
            if name.startswith('train') and 'seed' not in name
        ]

    def _remaining_s(self, steps: Sequence[Step]) -> float:
        """Return the seconds that steps may take, by this run's pace."""
        pace = self._spent_s / self._expected_s if self._expected_s else 1.0
        return sum(step.seconds for step in steps) * pace

    def _left_s(self) -> Optional[float]:
        if self.options.budget_min is None:
            return None
        spent = time.monotonic() - self._begin
        return self.options.budget_min * 60 - spent

    def _check_time(self) -> None:
        left = self._left_s()
        if left is not None and left <= 0:
            raise OutOfTime

    def _do(self, step: Step) -> bool:
        """Do a step; returns whether no other process is at it."""
        if step.kind == 'train':
            name = work_dir(self.root, step).name
            with self._lock(name, wait=False) as mine:
                if not mine:
                    print('another process is at it', flush=True)
                    self._elsewhere.append(step.model.name)
                    return False
                self._train(step)
            return True
        # One at a time: metafiles are rewritten, and latencies disturbed.
        with self._lock('publishing', wait=True):
            getattr(self, f'_{step.kind}')(step)
        return True

    @contextlib.contextmanager
    def _lock(self, name: str, wait: bool) -> Iterator[bool]:
        """Hold a lock between processes; gives whether it was to be had."""
        path = self.root / WORK_DIR / f'.{name}.lock'
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, 'w') as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else
                                                   fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True

    def _data(self, step: Step) -> None:
        self._run(['tools/dataset_converters/make_shapes.py'], 'data')

    def _train(self, step: Step) -> None:
        folder = work_dir(self.root, step)
        config = self.root / step.model.entry.config
        state = state_of(folder, config)
        if state == 'stale':
            old = folder.with_name(folder.name + '.old')
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            print(f'{folder.name} was of other settings, now {old.name}',
                  flush=True)
        if state != 'finished':
            # Close checkpoints, so that a short run gets further as well.
            options = ['default_hooks.checkpoint.interval=30',
                       'default_hooks.checkpoint.max_keep_ckpts=1']
            if step.seed:
                options.append(f'randomness.seed={step.seed}')
            self._run([
                'tools/train.py', step.model.entry.config, '--work-dir',
                str(folder.relative_to(self.root)), '--device',
                self.options.device, '--resume', '--cfg-options', *options
            ], folder.name, stoppable=True)
        record = read_record(folder / 'run_record_train.json', 'train')
        with self._lock('publishing', wait=True):
            done = publish_model(
                folder / record['checkpoint']['file'],
                seed_only=not step.main, root=self.root)
        print('  ' + ', '.join(f'{name} {value}' for name, value in
                               done.metrics.items()), flush=True)

    def _cost(self, step: Step) -> None:
        self._run(['tools/analysis_tools/get_flops.py',
                   step.model.entry.config, '--write', '--root',
                   str(self.root)], step.model.name)

    def _latency(self, step: Step) -> None:
        options = self.options
        self._run([
            'tools/analysis_tools/benchmark.py', step.model.entry.config,
            '--checkpoint', 'published', '--images', str(options.images),
            '--device', options.device, '--threads', str(options.threads),
            '--write', '--root', str(self.root)
        ], step.model.name)

    def _classes(self, step: Step) -> None:
        """Test the published weights, and file the record."""
        entry = load_index(self.root)[step.model.name]
        folder = self.root / WORK_DIR / f'{step.model.name}.test'
        weights = find_weights(entry.name, self.root)
        self._run([
            'tools/test.py', entry.config, str(weights), '--work-dir',
            str(folder.relative_to(self.root)), '--device',
            self.options.device, '--cfg-options',
            'test_evaluator.classwise=True'
        ], step.model.name)
        record = read_record(folder / 'run_record_test.json', 'test')
        if record['checkpoint']['sha256'] != entry.sha256:
            raise StepFailed(f'{folder} is a test of other weights.')
        with atomic_write(class_test_file(self.root, entry.name)) as file:
            file.write(canonical(record))

    def _run(self, command: Sequence[str], log: str,
             stoppable: bool = False) -> None:
        """Run a tool of the checkout.

        Args:
            command: Path of the tool and its arguments.
            log: Name of the log below the gallery's work folder.
            stoppable: Whether it is stopped when the time is up; else it is
                let finish, being short.
        """
        path = self.root / WORK_DIR / f'{log}.log'
        path.parent.mkdir(parents=True, exist_ok=True)
        places = [str(self.root), os.environ.get('PYTHONPATH', '')]
        process = subprocess.Popen(
            [sys.executable, *command], cwd=self.root,
            env=dict(os.environ, PYTHONUNBUFFERED='1',
                     PYTHONPATH=os.pathsep.join(filter(None, places))),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors='replace',
            # Ctrl-C is for us; the tool is told to end below.
            start_new_session=True)
        reader = threading.Thread(
            target=_keep_log, args=(process.stdout, path), daemon=True)
        reader.start()
        try:
            process.wait(self._left_s() if stoppable else None)
        except (subprocess.TimeoutExpired, KeyboardInterrupt) as reason:
            _end(process)
            if isinstance(reason, KeyboardInterrupt):
                raise
            raise OutOfTime
        finally:
            reader.join(5)
        if process.returncode:
            raise StepFailed(f'{command[0]} ended with {process.returncode}: '
                             f'{_last_line(path)} ({path})')


def complete_gallery(root: Path, wanted: Wanted, options: RunOptions,
                     second_seeds: bool) -> GalleryRun:
    """Do all that is missing, as far as time allows, and write the pages.

    Args:
        root: The checkout.
        wanted: What shall be there.
        options: How to do it.
        second_seeds: Train the models again whose order the page's text
            states; which ones is found anew when all others are done.

    Returns:
        The run, which knows what failed.
    """
    run = GalleryRun(root, options)
    while True:
        asked = wanted_seeds(root) if second_seeds else ()
        steps = make_plan(load_index(root),
                          replace(wanted, second_seeds=asked))
        steps = [step for step in steps if run.is_new(step)]
        if not steps or not run(steps):
            break
    run.write_pages(wanted)
    return run


def _keep_log(lines: Iterator[str], path: Path) -> None:
    """Write a tool's output to its log, and show how far it is."""
    seen = 0
    with open(path, 'a') as file:
        for line in lines:
            file.write(line)
            file.flush()
            if 'Iter(train)' in line or 'Epoch(train)' in line:
                if seen % _SHOWN_LINES == 0:
                    print('  ' + line.split(' - ')[-1].strip()[:90],
                          flush=True)
                seen += 1


def _end(process: subprocess.Popen) -> None:
    """End a tool and its workers; checkpoints are whole at any time."""
    # Not SIGINT: what a shell starts in the background is deaf to it.
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(path: Path) -> str:
    lines = [line for line in path.read_text(errors='replace').splitlines()
             if line.strip()]
    return lines[-1].strip() if lines else 'it printed nothing'
