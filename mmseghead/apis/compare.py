"""Comparing the models of the index: filter, sort, tabulate, plot."""
import csv
import io
import json
import re
from collections import Counter
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from mmengine.config import Config

from mmseghead.utils import atomic_write
from mmseghead.visualization.plots import Point, plot_tradeoffs
from .model_index import ModelEntry, ModelIndex

METRICS = ('mask AP', 'mask AP75', 'boundary AP', 'box AP')
#: Put behind numbers that others reported.
REPORTED_MARK = '*'
_FOOTNOTE = (f'{REPORTED_MARK} reported by others; all other numbers were '
             'measured here (docs/run_records). One multiply-add is one FLOP.')
_DEPTHS = {'ResNet': 'R', 'ResNeXt': 'X', 'ResNetV1d': 'R-D'}


@dataclass(frozen=True)
class Row:
    """One result of one model.

    Args:
        metrics: Metric -> value on the 0-100 scale.
        parameters: In millions.
        gflops: Multiply-adds of one image, in 1e9.
        latency_ms: Of one image, on ``hardware``.
        variant: See ``ModelIndex.is_variant``.
    """
    model: str
    method: str
    backbone: str
    dataset: str
    metrics: Mapping[str, float]
    parameters: Optional[float]
    gflops: Optional[float]
    latency_ms: Optional[float]
    hardware: str
    weights: bool
    source: str
    measured: bool
    variant: bool = False


@dataclass(frozen=True)
class Filter:
    """Which rows to keep; None keeps all.

    Args:
        dataset: Whole name of the data set, in any case.
        method: Regular expression found in the collection's name, in any
            case.
        backbone: As ``method``, for the backbone.
        source: As ``method``, for the source of the numbers.
        with_weights: Only models whose weights are published here.
        without_variants: Leave out what is a variant of another model.
    """
    dataset: Optional[str] = None
    method: Optional[str] = None
    backbone: Optional[str] = None
    source: Optional[str] = None
    with_weights: bool = False
    without_variants: bool = False


def backbone_of(index: ModelIndex, entry: ModelEntry) -> str:
    """Return a short name of an entry's backbone, such as R50.

    It is read from the config, whose name may not tell; ``'?'`` if the
    config has none.
    """
    path = index.root / entry.config
    return _backbone_of(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=None)  # every README asks for every config
def _backbone_of(path: Path, changed_ns: int) -> str:
    """Read it from a config as it was at a time."""
    config = Config.fromfile(path)
    backbone = (config.get('model') or {}).get('backbone') or {}
    kind = str(backbone.get('type', '?')).split('.')[-1]
    if kind in _DEPTHS and 'depth' in backbone:
        suffix = '-DCN' if backbone.get('dcn') else ''
        return f'{_DEPTHS[kind]}{backbone["depth"]}{suffix}'
    return kind


def main_hardware(index: ModelIndex) -> str:
    """Return the hardware that most latencies were measured on, or ''."""
    counts = Counter(
        str(item.get('hardware')) for entry in index.models
        for item in entry.latencies)
    return counts.most_common(1)[0][0] if counts else ''


def collect_rows(index: ModelIndex,
                 hardware: Optional[str] = None,
                 backbone: Callable[[ModelIndex, ModelEntry], str]
                 = backbone_of) -> List[Row]:
    """Return one row per model and data set of the index.

    Args:
        index: The index.
        hardware: Whose latencies to take; :func:`main_hardware` if None,
            since latencies of several machines do not compare.
        backbone: Names the backbone of an entry.
    """
    hardware = main_hardware(index) if hardware is None else hardware
    rows = []
    for entry in index.models:
        latencies = [
            item['value'] for item in entry.latencies
            if str(item.get('hardware')) == hardware
        ]
        for result in entry.results:
            rows.append(
                Row(model=entry.name,
                    method=entry.collection,
                    backbone=backbone(index, entry),
                    dataset=result['Dataset'],
                    metrics=dict(result['Metrics']),
                    parameters=_scaled(entry.parameters, 1e6),
                    gflops=_scaled(entry.flops, 1e9),
                    latency_ms=latencies[0] if latencies else None,
                    hardware=hardware if latencies else '',
                    weights=bool(entry.sha256),
                    source=entry.source,
                    measured=entry.measured,
                    variant=index.is_variant(entry.name)))
    return rows


def _scaled(value: Optional[int], unit: float) -> Optional[float]:
    return None if value is None else round(value / unit, 3)


def select_rows(rows: Sequence[Row], chosen: Filter,
                sort_by: str = 'mask AP') -> List[Row]:
    """Filter rows and sort them, the best first.

    Args:
        rows: What to choose from.
        chosen: The filter.
        sort_by: One of ``METRICS`` (higher first), or ``parameters``,
            ``gflops`` or ``latency_ms`` (lower first). Rows without that
            number come last.

    Raises:
        ValueError: if ``sort_by`` is unknown, a pattern is no regular
            expression, or nothing is left; says what there is.
    """
    costs = ('parameters', 'gflops', 'latency_ms')
    if sort_by not in METRICS + costs:
        raise ValueError(f'`sort_by` must be one of '
                         f'{", ".join(METRICS + costs)}, got {sort_by!r}.')
    kept = [row for row in rows if _matches(row, chosen)]
    if not kept:
        raise ValueError(_nothing_left(rows, chosen))

    def key(row: Row) -> Any:
        if sort_by in costs:
            value = getattr(row, sort_by)
        else:
            value = row.metrics.get(sort_by)
            value = None if value is None else -value
        return value is None, value or 0.0, row.model

    # Numbers of different data sets do not compare: data sets stay apart.
    return sorted(kept, key=lambda row: (row.dataset, key(row)))


def _matches(row: Row, chosen: Filter) -> bool:
    if chosen.dataset and chosen.dataset.lower() != row.dataset.lower():
        return False
    for name in ('method', 'backbone', 'source'):
        pattern = getattr(chosen, name)
        try:
            if pattern and not re.search(pattern, getattr(row, name), re.I):
                return False
        except re.error as error:
            raise ValueError(
                f'`{name}` must be a regular expression, got {pattern!r}: '
                f'{error}.')
    if chosen.without_variants and row.variant:
        return False
    return row.weights or not chosen.with_weights


def _nothing_left(rows: Sequence[Row], chosen: Filter) -> str:
    asked = ', '.join(f'{name} {value!r}'
                      for name, value in asdict(chosen).items() if value)
    there = [
        f'{name}: {", ".join(sorted({getattr(row, name) for row in rows}))}'
        for name in ('dataset', 'method', 'backbone', 'source')
    ]
    return '\n  '.join([
        f'No result of the index fits {asked or "at all"}. There are '
        f'{len(rows)} results, {sum(row.weights for row in rows)} of them '
        'with weights, of', *there
    ])


def table(rows: Sequence[Row]) -> List[List[str]]:
    """Return head and body of a table as text; unknown numbers are ``-``.

    Columns without any number are left out.
    """
    metrics = [name for name in METRICS
               if any(name in row.metrics for row in rows)]
    columns: Dict[str, List[str]] = {
        'model': [row.model for row in rows],
        'method': [row.method for row in rows],
        'backbone': [row.backbone for row in rows],
        'data set': [row.dataset for row in rows],
    }
    for name in metrics:
        columns[name] = [
            _number(row.metrics.get(name), 1) +
            ('' if row.measured or name not in row.metrics else REPORTED_MARK)
            for row in rows
        ]
    columns['params (M)'] = [_number(row.parameters, 1) for row in rows]
    columns['GFLOPs'] = [_number(row.gflops, 1) for row in rows]
    columns['ms / im'] = [_number(row.latency_ms, 1) for row in rows]
    columns['weights'] = ['yes' if row.weights else '-' for row in rows]
    return [list(columns), *map(list, zip(*columns.values()))]


def _number(value: Optional[float], digits: int) -> str:
    return '-' if value is None else f'{value:.{digits}f}'


def _footnotes(rows: Sequence[Row]) -> List[str]:
    notes = [_FOOTNOTE]
    machines = sorted({row.hardware for row in rows if row.hardware})
    if machines:
        notes.append(f'ms / im on {", ".join(machines)}.')
    return notes


def to_text(rows: Sequence[Row]) -> str:
    """Return an aligned table for the terminal, numbers to the right."""
    cells = table(rows)
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = []
    for line in cells:
        parts = [
            cell.ljust(width) if i < 4 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths))
        ]
        lines.append('  '.join(parts).rstrip())
    lines.insert(1, '  '.join('-' * width for width in widths))
    return '\n'.join(lines + _footnotes(rows)) + '\n'


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a Markdown table with its footnotes."""
    head, *body = table(rows)
    rule = ['---'] * 4 + ['---:'] * (len(head) - 4)
    lines = ['| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) +
             ' |' for line in (head, rule, *body)]
    notes = [note.replace('*', '\\*') for note in _footnotes(rows)]
    return '\n'.join(lines + [''] + notes) + '\n'


def to_csv(rows: Sequence[Row]) -> str:
    """Return comma-separated values: bare numbers, a column of sources."""
    stream = io.StringIO()
    names = ['model', 'method', 'backbone', 'dataset', *METRICS, 'parameters',
             'gflops', 'latency_ms', 'hardware', 'weights', 'source']
    writer = csv.DictWriter(
        stream, names, extrasaction='ignore', lineterminator='\n')
    writer.writeheader()
    for row in rows:
        writer.writerow({**asdict(row), **row.metrics})
    return stream.getvalue()


def to_json(rows: Sequence[Row]) -> str:
    """Return the rows as a JSON list."""
    return json.dumps([asdict(row) for row in rows], indent=1) + '\n'


FORMATS: Mapping[str, Callable[[Sequence[Row]], str]] = dict(
    text=to_text, markdown=to_markdown, csv=to_csv, json=to_json)


def plot_rows(rows: Sequence[Row], folder: Path,
              metric: str = 'mask AP') -> List[Path]:
    """Plot a metric against parameters, GFLOPs and latency, per data set.

    Returns:
        The PNG files written, ``<metric>_<data set>.png``; none for data
        sets in which no row has the metric.
    """
    costs = {
        'parameters (M)': 'parameters',
        'GFLOPs (multiply-adds)': 'gflops',
        'latency (ms / image)': 'latency_ms'
    }
    written = []
    for dataset in sorted({row.dataset for row in rows}):
        here = [row for row in rows
                if row.dataset == dataset and metric in row.metrics]
        if not here:
            continue
        panels = {
            title: [
                Point(_label(row, here), row.method, getattr(row, cost),
                      row.metrics[metric], row.measured) for row in here
                if getattr(row, cost)
            ]
            for title, cost in costs.items()
        }
        if any(panels.values()):
            panels = {title: part for title, part in panels.items() if part}
        note = ' '.join(_footnotes(here)[1:] + [
            'Counted at the test size of each config. One multiply-add is one '
            'FLOP.'
        ])
        figure = plot_tradeoffs(panels, metric,
                                f'{dataset}: {metric} against cost', note)
        stem = f'{metric}_{dataset}'.lower().replace(' ', '-')
        with atomic_write(folder / f'{stem}.png', 'wb') as file:
            figure.savefig(file, dpi=150, format='png')
        written.append(folder / f'{stem}.png')
    return written


def _label(row: Row, rows: Sequence[Row]) -> str:
    """Return the shortest text that tells a row from the others."""
    texts = [
        lambda r: r.method,
        lambda r: f'{r.method} {r.backbone}',
        # The last but one field of a config's name is its schedule.
        lambda r: f'{r.method} {r.backbone} {r.model.split("_")[-2]}',
    ]
    for text in texts:
        if sum(text(other) == text(row) for other in rows) == 1:
            return text(row)
    return row.model
