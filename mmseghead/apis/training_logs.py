"""Logs of trainings: read, joined after interruptions, and summed up."""
import csv
import fnmatch
import io
import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

_STAMP = re.compile(r'^\d{8}_\d{6}$')
#: Where a row stands, not what was measured.
_PLACES = ('step', 'iter', 'epoch')


class Series(NamedTuple):
    """A number over the training.

    Args:
        steps: (N,) int, training iterations.
        values: (N,) float.
    """
    steps: np.ndarray
    values: np.ndarray


@dataclass
class RunLog:
    """What a training logged.

    Args:
        name: Of the run.
        files: The logs it was joined from, the oldest first.
        series: Key -> numbers. Measurements of a validation stand at the
            last training iteration that was logged before.
        notes: What a reader should know.
    """
    name: str
    files: List[Path]
    series: Dict[str, Series]
    notes: List[str] = field(default_factory=list)


def read_run(path: Union[str, Path], name: Optional[str] = None) -> RunLog:
    """Read the newest run of a folder, with what it was resumed from.

    Args:
        path: A work dir, the folder of one time stamp in it, or a log file
            (``vis_data/scalars.json``).
        name: Of the run; the folder's if None.

    Raises:
        FileNotFoundError: if there is no log.
        ValueError: if a log is broken or empty; names file and line.
    """
    path = Path(path)
    parts = [_read_part(file) for file in _log_files(path)]
    parts = [part for part in parts if part]
    if not parts:
        raise ValueError(f'The logs of {path} are empty: no training '
                         'iteration was logged yet.')
    trained = [part for part in parts if part.trained]
    rows, files, notes = _joined(trained or parts[-1:])
    collected: Dict[str, List[Tuple[int, float]]] = defaultdict(list)
    for step, row in rows:
        for key, value in row.items():
            if key in _PLACES or not isinstance(value, (int, float)):
                continue
            if key in ('time', 'data_time') and not _trains(row):
                key = f'val/{key}'
            collected[key].append((step, float(value)))
    series = {
        key: Series(*map(np.array, zip(*values)))
        for key, values in collected.items()
    }
    for key, item in series.items():
        bad = item.steps[~np.isfinite(item.values)]
        if len(bad):
            notes.append(f'{key} is not finite at {len(bad)} of '
                         f'{len(item.steps)} rows, first at iteration '
                         f'{bad[0]}.')
    return RunLog(name or _name(path), files, series, notes)


def _name(path: Path) -> str:
    path = path.resolve()
    if path.is_file():
        path = path.parent
    if path.name == 'vis_data':
        path = path.parent
    return path.parent.name if _STAMP.match(path.name) else path.name


def _log_files(path: Path) -> List[Path]:
    """Return the logs of a folder, the oldest first."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f'There is no file or folder {path}.')
    stamps = sorted(child for child in path.iterdir()
                    if child.is_dir() and _STAMP.match(child.name))
    folders = [child / 'vis_data' for child in stamps] or [
        path / 'vis_data', path]
    files = []
    for folder in folders:
        found = [folder / 'scalars.json', *sorted(folder.glob('2*.json'))]
        files += [file for file in found if file.is_file()][:1]
    if not files:
        raise FileNotFoundError(
            f'{path} holds no logs. Give a work dir, the folder of one time '
            'stamp (20260131_235959) in it, or a vis_data/scalars.json.')
    return files


class _Part(NamedTuple):
    """Rows (training iteration, content) of one log."""
    file: Path
    rows: List[Tuple[int, dict]]
    trained: bool

    @property
    def resumed_from(self) -> int:
        """The iteration after which this part began, 0 for a fresh start.

        The first row comes one interval of logging after the beginning.
        """
        steps = sorted({step for step, row in self.rows if _trains(row)})
        if len(steps) < 2:
            return 0
        return max(steps[0] - min(np.diff(steps)), 0)


def _trains(row: dict) -> bool:
    # Evaluations have no learning rate.
    return 'lr' in row or 'loss' in row


def _read_part(path: Path) -> Optional[_Part]:
    lines = path.read_text('utf-8').splitlines()
    rows: List[Tuple[int, dict]] = []
    step, trained = 0, False
    for i, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            if i == len(lines):
                break  # a killed run cuts its last line
            raise ValueError(f'Line {i} of {path} is no valid JSON: {error}.')
        if not isinstance(row, dict):
            raise ValueError(f'Line {i} of {path} must be an object, got '
                             f'{line[:60]!r}.')
        if _trains(row):
            trained = True
            step = int(row.get('step', row.get('iter', step)))
        rows.append((step, row))
    return _Part(path, rows, trained) if rows else None


def _joined(parts: Sequence[_Part]) -> tuple:
    """Join the newest part with those that it continues."""
    newest = parts[-1]
    rows, files, notes = newest.rows, [newest.file], []
    start = newest.resumed_from
    for part in reversed(parts[:-1]):
        if not start:
            break
        # What came after the checkpoint was done again.
        kept = [row for row in part.rows if row[0] <= start]
        if not kept:
            continue
        rows, files = kept + rows, [part.file, *files]
        start = part.resumed_from
    if start:
        notes.append(f'The log begins after iteration {start}; the run was '
                     'resumed from one that is not here.')
    return rows, files, notes


def match_keys(run: RunLog, pattern: str,
               required: bool = True) -> List[str]:
    """Return the keys of a run that a pattern fits.

    Args:
        run: The run.
        pattern: A key, or a pattern with ``*`` and ``?``.
        required: Whether there must be one.

    Raises:
        KeyError: if a required one is missing; lists what there is.
    """
    if pattern in run.series:
        return [pattern]
    found = [key for key in run.series if fnmatch.fnmatchcase(key, pattern)]
    if required and not found:
        raise KeyError(f'The log of {run.name} has no key {pattern!r}. It '
                       f'has: {", ".join(sorted(run.series))}.')
    return found


def default_patterns(runs: Sequence[RunLog]) -> List[str]:
    """Return what to plot if nobody says: losses, AP and learning rate.

    Args:
        runs: At least one. Of several, only totals are compared.
    """
    patterns = ['loss*', 'val/loss*', '*_mAP', 'lr']
    if len(runs) > 1:
        patterns = ['loss', 'val/loss', '*segm_mAP', 'lr']

    def fits(pattern: str) -> bool:
        return any(fnmatch.fnmatchcase(key, pattern)
                   for run in runs for key in run.series)

    if len(runs) > 1 and not fits('*segm_mAP'):
        patterns[2] = '*bbox_mAP'
    return [pattern for pattern in patterns if fits(pattern)]


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Return the mean of each value and those just before it.

    Args:
        values: (N,).
        window: How many values, at least 1; fewer at the beginning. Values
            that are not finite are left out.

    Raises:
        ValueError: if the window is less than 1.
    """
    if window < 1:
        raise ValueError(f'`window` of smooth must be an int >= 1, got '
                         f'{window!r}.')
    good = np.isfinite(values)
    total = np.cumsum(np.where(good, values, 0.0))
    count = np.cumsum(good)
    total[window:] -= total[:-window].copy()
    count[window:] -= count[:-window].copy()
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class Timing(NamedTuple):
    """How long the training iterations took.

    Args:
        mean: Seconds.
        median: Seconds.
        fastest: Seconds.
        slowest: Seconds.
        loading: Share of the time spent waiting for data, 0 to 1.
        iterations: The last iteration.
    """
    mean: float
    median: float
    fastest: float
    slowest: float
    loading: float
    iterations: int


def timing(run: RunLog) -> Optional[Timing]:
    """Return the time per iteration, None if it was not logged.

    Rows hold means over an interval of logging: the slowest row is not the
    slowest iteration. Evaluations log ``val/time``.

    Args:
        run: The run.
    """
    if 'time' not in run.series:
        return None
    steps, times = run.series['time']
    waited = run.series.get('data_time', Series(steps, np.zeros(len(steps))))
    total = times.sum()
    return Timing(
        float(times.mean()), float(np.median(times)), float(times.min()),
        float(times.max()),
        float(waited.values.sum() / total) if total else math.nan,
        int(steps.max()))


def summary_table(run: RunLog, keys: Sequence[str]) -> List[List[str]]:
    """Return head and body of a table of a run's numbers.

    Args:
        run: The run.
        keys: Which of them.
    """
    rows = [['key', 'rows', 'first', 'last', 'lowest', 'at', 'highest', 'at']]
    for key in keys:
        steps, values = run.series[key]
        good = np.isfinite(values)
        if not good.any():
            rows.append([key, str(len(steps)), *['-'] * 6])
            continue
        steps, values = steps[good], values[good]
        low, high = values.argmin(), values.argmax()
        rows.append([key, str(len(good)), f'{values[0]:.4g}',
                     f'{values[-1]:.4g}', f'{values[low]:.4g}',
                     str(steps[low]), f'{values[high]:.4g}',
                     str(steps[high])])
    return rows


def logs_to_csv(runs: Sequence[RunLog]) -> str:
    """Return all numbers, one a line: run, key, step, value.

    Args:
        runs: The runs.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator='\n')
    writer.writerow(['run', 'key', 'step', 'value'])
    for run in runs:
        for key, item in run.series.items():
            writer.writerows([run.name, key, int(step), repr(float(value))]
                             for step, value in zip(*item))
    return stream.getvalue()


def logs_to_json(runs: Sequence[RunLog]) -> str:
    """Return all numbers and times; what is not finite is null.

    Args:
        runs: The runs.
    """
    data = {}
    for run in runs:
        times = timing(run)
        data[run.name] = dict(
            files=[str(file) for file in run.files],
            notes=run.notes,
            seconds_per_iteration=times and times._asdict(),
            series={
                key: dict(
                    steps=item.steps.tolist(),
                    values=[value if math.isfinite(value) else None
                            for value in item.values.tolist()])
                for key, item in run.series.items()
            })
    return json.dumps(data, indent=1) + '\n'
