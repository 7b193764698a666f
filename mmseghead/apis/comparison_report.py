"""A comparison of two models as text, Markdown and JSON."""
import json
from dataclasses import asdict
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np

from mmseghead.evaluation.functional.resampling import Difference
from mmseghead.utils.files import sha256_of
from . import tables
from .compare_predictions import Comparison, ImageRow

#: Behind differences whose interval lies on one side of 0.
CLEAR = '*'
_MOST_CLASSES = 10  # of either side in the text


def to_json(comparison: Comparison) -> str:
    """Return everything that was measured, numbers from 0 to 1.

    Args:
        comparison: What to write. Differences are B - A; numbers that are
            not defined are null.
    """
    names, annotations = comparison.names, comparison.annotations
    found = comparison.results

    def of_models(values: Sequence[Any]) -> Dict[str, Any]:
        return dict(zip(names, values))

    data = dict(
        schema=1,
        a=names[0],
        b=names[1],
        annotations=dict(
            file=str(annotations.path), sha256=sha256_of(annotations.path),
            images=len(annotations.images), instances=_instances(comparison),
            classes=list(annotations.classes)),
        predictions=of_models([
            dict(file=str(item.path), sha256=sha256_of(item.path),
                 count=len(item), boxes=item.has_boxes) for item in found]),
        settings=asdict(comparison.settings),
        score_thresholds=of_models(
            [model.threshold for model in comparison.models]),
        overall=_dicts(comparison.overall),
        classes=_dicts(comparison.classes),
        bands=dict(instances=comparison.num_common,
                   mean_iou=_dicts(comparison.bands),
                   count=of_models(comparison.band_counts)),
        errors=dict(gain=_dicts(comparison.errors),
                    count=of_models(comparison.error_counts)),
        confusion=of_models([table.tolist()
                             for table in comparison.confusion]),
        images=[dict(image_id=row.image_id, file_name=row.file_name,
                     instances=row.num_truth, difference=row.difference,
                     a=row.a._asdict(), b=row.b._asdict())
                for row in comparison.images],
        notes=comparison.notes)
    return json.dumps(data, indent=1, allow_nan=False) + '\n'


def _dicts(items: Mapping[str, Difference]) -> Dict[str, Dict]:
    return {key: {**item._asdict(), 'clear': item.clear}
            for key, item in items.items()}


def _instances(comparison: Comparison) -> int:
    return int(sum((~item.ignored).sum()
                   for item in comparison.annotations.truth))


def difference_table(items: Mapping[str, Difference], names: Sequence[str],
                     head: str) -> List[List[str]]:
    """Return head and body of a table of differences in points.

    Args:
        items: What was measured, 0 to 1.
        names: Of the two models.
        head: Title of the first column.
    """
    rows = [[head, *names, 'B - A', 'interval', '']]
    for key, item in items.items():
        ends = '-' if item.low is None else \
            f'[{100 * item.low:+.1f}, {100 * item.high:+.1f}]'
        rows.append([key, _points(item.a), _points(item.b),
                     _points(item.difference, '+'), ends,
                     CLEAR if item.clear else ''])
    return rows


def _points(value: Optional[float], sign: str = '') -> str:
    return '-' if value is None else f'{100 * value:{sign}.1f}'


def _short(classes: Mapping[str, Difference]) -> Dict[str, Difference]:
    """Leave out classes without AP, and all but the extreme ones."""
    known = {key: item for key, item in classes.items()
             if item.difference is not None}
    order = sorted(known, key=lambda key: known[key].difference)
    if len(order) > 2 * _MOST_CLASSES:
        order = order[:_MOST_CLASSES] + order[-_MOST_CLASSES:]
    return {key: known[key] for key in order}


def band_table(comparison: Comparison) -> List[List[str]]:
    """Return head and body of the table of bands.

    Args:
        comparison: What to write. An instance counts in the bands that it or
            its detection reaches.
    """
    return _with_counts(
        difference_table(comparison.bands, comparison.names, 'band'),
        comparison.band_counts, 'instances')


def _with_counts(table: List[List[str]], counts: Sequence[Mapping[str, int]],
                 word: str) -> List[List[str]]:
    table[0] += [f'{word} A', 'B']
    for row in table[1:]:
        row += [str(item.get(row[0], '-')) for item in counts]
    return table


def error_table(comparison: Comparison) -> List[List[str]]:
    """Return head and body of the table of error types.

    Args:
        comparison: What to write.
    """
    return _with_counts(
        difference_table(comparison.errors, comparison.names,
                         'gain of AP50 without'),
        comparison.error_counts, 'errors')


def confusion_table(comparison: Comparison, model: int) -> List[List[str]]:
    """Return head and body of the confusion matrix of a model.

    Args:
        comparison: What to write.
        model: 0 or 1.
    """
    classes = comparison.annotations.classes
    table = comparison.confusion[model]
    rows = [['truth \\ predicted', *classes, 'missed']]
    for name, counts in zip((*classes, 'background'), table):
        rows.append([name, *map(str, counts)])
    rows[-1][-1] = '-'
    return rows


def most_confused(comparison: Comparison, model: int,
                  most: int = 10) -> List[List[str]]:
    """Return head and body of a table of the most frequent confusions.

    Args:
        comparison: What to write.
        model: 0 or 1.
        most: Rows at most.
    """
    classes = comparison.annotations.classes
    counts = comparison.confusion[model][:-1, :-1].copy()
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind='stable')[:most]
    rows = [['truth', 'predicted', 'times']]
    for k, j in zip(*np.unravel_index(order, counts.shape)):
        if counts[k, j]:
            rows.append([classes[k], classes[j], str(counts[k, j])])
    return rows


def image_table(rows: Sequence[ImageRow],
                names: Sequence[str]) -> List[List[str]]:
    """Return head and body of the table of images.

    Args:
        rows: The images.
        names: Of the two models.
    """
    table = [['image', 'instances', f'quality {names[0]}', names[1], 'B - A',
              'right/wrong/missed A', 'B']]
    for row in rows:
        counts = [f'{o.right}/{o.wrong}/{o.missed}' for o in (row.a, row.b)]
        table.append([row.file_name or str(row.image_id), str(row.num_truth),
                      _points(row.a.quality), _points(row.b.quality),
                      _points(row.difference, '+'), *counts])
    return table


def headline(comparison: Comparison) -> List[str]:
    """Return what was compared and how, line by line.

    Args:
        comparison: What to write.
    """
    lines = []
    for letter, name, item, model in zip(
            'AB', comparison.names, comparison.results, comparison.models):
        lines.append(f'{letter}: {name}, {len(item)} predictions, sure ones '
                     f'from a score of {model.threshold:.3f}')
    settings, annotations = comparison.settings, comparison.annotations
    counts = {'image': len(annotations.images),
              'instance': _instances(comparison),
              'class': len(annotations.classes)}
    lines.append(
        f'{", ".join(_plural(n, word) for word, n in counts.items())}. '
        f'Intervals: {100 * settings.confidence:g} % of '
        f'{settings.resamples} resamples of the images; {CLEAR} marks those '
        'on one side of 0.')
    return lines


def _plural(count: int, word: str) -> str:
    ending = '' if count == 1 else 'es' if word.endswith('s') else 's'
    return f'{count} {word}{ending}'


def _sections(comparison: Comparison, num_images: int,
              whole: bool) -> Dict[str, List[List[str]]]:
    names, classes = comparison.names, comparison.classes
    sections = {
        'Average precision': difference_table(comparison.overall, names,
                                              'metric')}
    shown = classes if whole else _short(classes)
    if len(classes) > 1:
        left_out = len(classes) - len(shown)
        title = 'Mask AP by class'
        if left_out:
            title += f' ({left_out} left out)'
        sections[title] = difference_table(shown, names, 'class')
    sections[f'Mean IoU of {comparison.num_common} instances both found, by '
             'distance from the outline (% of the diagonal)'] = \
        band_table(comparison)
    sections['Error types'] = error_table(comparison)
    for m, name in enumerate(names):
        if len(classes) <= 12:
            sections[f'Confusion of {name}'] = confusion_table(comparison, m)
        else:
            sections[f'Confused most by {name}'] = most_confused(
                comparison, m)
    if num_images:
        sections['Images that differ most'] = image_table(
            comparison.images[:num_images], names)
    return sections


def to_text(comparison: Comparison, num_images: int = 10) -> str:
    """Return a summary for the terminal.

    Args:
        comparison: What to write.
        num_images: Rows of the table of images.
    """
    lines = headline(comparison)
    lines += [f'note: {note}' for note in comparison.notes]
    for title, table in _sections(comparison, num_images, False).items():
        lines += ['', title, tables.to_text(table)]
    return '\n'.join(lines) + '\n'


def to_markdown(comparison: Comparison, num_images: int = 20,
                pictures: Sequence[str] = ()) -> str:
    """Return the whole comparison as a page.

    Args:
        comparison: What to write.
        num_images: Rows of the table of images.
        pictures: Paths of plots and pictures to show at the end, relative
            to the page.
    """
    names = comparison.names
    lines = [f'# {names[0]} and {names[1]} on '
             f'{comparison.annotations.path.name}', '']
    lines += [f'- {line}' for line in headline(comparison)]
    lines += [f'- {note}' for note in comparison.notes]
    for title, table in _sections(comparison, num_images, True).items():
        lines += ['', f'## {title}', '', tables.to_markdown(table)]
    if pictures:
        lines += ['', '## Pictures', '',
                  'Right detections are green, wrong ones red, instances '
                  'that were missed yellow, detections that do not count '
                  'grey.']
        lines += [f'\n![{path}]({path})' for path in pictures]
    return '\n'.join(lines) + '\n'
