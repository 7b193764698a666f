"""Tables of results in READMEs, rendered from the model index."""
import re
from pathlib import Path
from typing import Any, Dict, List

from mmseghead.utils import atomic_write
from .compare import Filter, collect_rows, select_rows, to_markdown
from .model_index import ModelIndex, load_index
from .records import (METRIC_NAMES, RECORDS, class_metrics, published_metrics,
                      read_record)

_KEYS = ('dataset', 'method', 'source', 'variants')
_MARKED = re.compile(
    r'(?P<begin><!-- models (?P<query>[^>]*?) -->\n).*?(?P<end><!-- /models -->)',
    re.S)
_SEEDS = re.compile(
    r'(?P<begin><!-- seeds (?P<names>[^>]*?) -->\n).*?(?P<end><!-- /seeds -->)',
    re.S)
_CLASSES = re.compile(
    r'(?P<begin><!-- classes (?P<names>[^>]*?) -->\n).*?(?P<end><!-- /classes -->)',
    re.S)


def render_tables(text: str, index: ModelIndex) -> str:
    """Renew the tables between markers of a Markdown text.

    A table stands between ``<!-- models dataset=nuclei -->`` and
    ``<!-- /models -->``. The query is ``key=value`` pairs parted by ``;``
    with the keys ``dataset`` (whole name), ``method`` and ``source`` (regular
    expressions), and ``variants=no``, which leaves variants out.

    A table of all trainings of some models, one number a seed, stands between
    ``<!-- seeds NAME NAME -->`` and ``<!-- /seeds -->``. It is read from the
    run records. Between ``<!-- classes NAME NAME -->`` and
    ``<!-- /classes -->`` stands the mask AP of each class, of tests with
    ``classwise=True``.

    Args:
        text: A README.
        index: Where the numbers come from.

    Returns:
        The text with its tables as the index has them now.

    Raises:
        ValueError: if a query has another key or finds nothing, or a model
            has no run record or none with an AP by class.
    """

    def renew(match: re.Match) -> str:
        table = to_markdown(
            select_rows(collect_rows(index), _parse(match['query'])))
        return f'{match["begin"]}\n{table}\n{match["end"]}'

    def renew_seeds(match: re.Match) -> str:
        table = _seed_table(index.root, match['names'].split())
        return f'{match["begin"]}\n{table}\n{match["end"]}'

    def renew_classes(match: re.Match) -> str:
        table = _class_table(index.root, match['names'].split())
        return f'{match["begin"]}\n{table}\n{match["end"]}'

    for pattern, renewal in ((_MARKED, renew), (_SEEDS, renew_seeds),
                             (_CLASSES, renew_classes)):
        text = pattern.sub(renewal, text)
    return text


def _class_table(root: Path, names: List[str]) -> str:
    """Return Markdown with the mask AP of each class, as a percentage."""
    rows = {}
    for name in names:
        rows[name] = class_metrics(root, name)
        if not rows[name]:
            raise ValueError(
                f'a table of classes names {name!r}, of which {RECORDS} '
                'holds no run record with an AP by class; test it with '
                '`test_evaluator.classwise=True` and publish the test.')
    classes = list(dict.fromkeys(name for row in rows.values()
                                 for name in row))
    lines = [['model', *classes], ['---'] + ['---:'] * len(classes)]
    for name, row in rows.items():
        lines.append([name] + [
            f'{100 * row[label]:.1f}' if label in row else '-'
            for label in classes
        ])
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)


def _seed_table(root: Path, names: List[str]) -> str:
    """Return Markdown with the metrics of all seeds of some models."""
    rows = []
    for name in names:
        records = sorted((root / RECORDS).glob(f'{name}*.json'))
        records = [
            read_record(path, 'train') for path in records
            if path.stem.split('.seed')[0] == name
        ]
        if not records:
            raise ValueError(
                f'a table of seeds names {name!r}, of which {RECORDS} holds '
                'no run record; publish one, or mend the name.')
        rows.append((name, [record['seed'] for record in records],
                     [published_metrics(record) for record in records]))
    metrics = [
        metric for metric in dict.fromkeys(METRIC_NAMES.values())
        if any(metric in run for *_, runs in rows for run in runs)
    ]
    lines = [['model', 'seeds', *metrics], ['---'] * 2 + ['---:'] * len(metrics)]
    for name, seeds, runs in rows:
        lines.append([name, ', '.join(map(str, seeds))] + [
            ' / '.join(str(run.get(metric, '-')) for run in runs)
            for metric in metrics
        ])
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)


def _parse(query: str) -> Filter:
    wanted: Dict[str, Any] = {}
    for pair in query.split(';'):
        key, _, value = pair.strip().partition('=')
        if key not in _KEYS or not value:
            raise ValueError(
                'a table of models is chosen by key=value pairs with the '
                f'keys {", ".join(_KEYS)}; got {query!r}.')
        if key == 'variants':
            if value != 'no':
                raise ValueError('`variants` of a table of models may only '
                                 f'be no, got {value!r}.')
            wanted['without_variants'] = True
        else:
            wanted[key] = value
    return Filter(**wanted)


def readmes(root: Path) -> List[Path]:
    """Return the READMEs of a checkout, the main one first."""
    return [root / 'README.md', *sorted(root.glob('configs/*/README.md'))]


def update_readmes(root: Path) -> List[Path]:
    """Renew the tables of all READMEs.

    Args:
        root: The folder that holds ``model_index.yml``.

    Returns:
        The files that changed.
    """
    index = load_index(root)
    changed = []
    for path in readmes(root):
        text = path.read_text(encoding='utf-8')
        renewed = render_tables(text, index)
        if renewed != text:
            with atomic_write(path) as file:
                file.write(renewed)
            changed.append(path)
    return changed
