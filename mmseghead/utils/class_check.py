"""Comparing a config's classes with an annotation file's categories.

mmdet gives label i to the i-th category *in the file's order*. When the
config lists the names in another order, AP is right and every name in tables
and pictures is wrong; when names are missing, AP is 0 or training stops with
an unrelated message. Hence names, count and order must agree.
"""
import difflib
from itertools import zip_longest
from typing import List, Optional, Sequence, Tuple

_MAX_ROWS = 30


def check_classes(classes: Sequence[str], categories: Sequence[dict],
                  owner: str, ann_file: str) -> None:
    """Raise unless two class lists agree in names, count and order.

    Args:
        classes: ``metainfo.classes`` of the data set or metric.
        categories: ``categories`` of the COCO JSON, in the file's order.
        owner: Name of the data set or metric, for the message.
        ann_file: Path of the annotation file, for the message.

    Raises:
        TypeError: if ``classes`` is no list or tuple of strings.
        ValueError: if the lists differ or ``classes`` repeats a name; the
            message shows both lists side by side.
    """
    check_class_list(classes, owner)
    names = [category['name'] for category in categories]
    if list(classes) == names:
        return
    wrong = [
        index for index, (a, b) in enumerate(zip_longest(classes, names))
        if a != b
    ]
    lines = [
        f'`metainfo.classes` of {owner} must equal the categories of '
        f'{ann_file} in names, count and order; the config has '
        f'{len(classes)}, the file {len(names)}, and {len(wrong)} rows '
        'differ:',
        *_table(classes, names, wrong),
        *_hints(classes, names),
    ]
    raise ValueError('\n'.join(lines))


def check_class_list(classes: Sequence[str], owner: str) -> None:
    """Raise unless ``classes`` is a list or tuple of different strings."""
    if isinstance(classes, str):
        raise TypeError(
            f'`metainfo.classes` of {owner} must be a tuple of names, got '
            f'the string {classes!r}. A tuple of one needs a comma: '
            f'classes=({classes!r}, ).')
    if not isinstance(classes, (list, tuple)) or not all(
            isinstance(name, str) for name in classes):
        raise TypeError(f'`metainfo.classes` of {owner} must be a tuple of '
                        f'names, got {classes!r}.')
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice:
        raise ValueError(f'`metainfo.classes` of {owner} must not repeat a '
                         f'name, but these come more than once: {twice}.')


def _table(classes: Sequence[str], names: Sequence[str],
           wrong: Sequence[int]) -> List[str]:
    """Return the lines of a table; of long lists the first wrong rows."""
    rows: List[Tuple[int, str, str]] = [
        (index, a or '-', b or '-')
        for index, (a, b) in enumerate(zip_longest(classes, names))
    ]
    left_out = 0
    if len(rows) > _MAX_ROWS:
        left_out = max(len(wrong) - _MAX_ROWS, 0)
        rows = [rows[index] for index in wrong[:_MAX_ROWS]]
    width = max(len('config'), *(len(a) for _, a, _ in rows))
    lines = [f'  index    {"config":{width}}  file']
    for index, a, b in rows:
        mark = ' ' if a == b else '!'
        lines.append(f'  {index:5d}  {mark} {a:{width}}  {b}')
    if left_out:
        lines.append(f'  ... and {left_out} more rows that differ')
    return lines


def _hints(classes: Sequence[str], names: Sequence[str]) -> List[str]:
    hints = []
    if sorted(classes) == sorted(names):
        hints.append('The names agree, only their order differs.')
    missing = [name for name in classes if name not in names]
    for name in missing[:5]:
        near = _nearest(name, names)
        if near is not None:
            hints.append(f'Did you mean {near!r} for {name!r}?')
    if len(names) > _MAX_ROWS:
        hints.append(
            'To fix it, list the names of the file in its order in `classes` '
            'at the top of the config; `num_classes` and `metainfo` follow '
            'from it.')
    else:
        hints.append('To fix it, set at the top of the config:\n'
                     f'  classes = {tuple(names)!r}\n'
                     '`num_classes` and `metainfo` follow from it.')
    return hints


def _nearest(name: str, names: Sequence[str]) -> Optional[str]:
    """Return the name most like ``name``, case aside, or None."""
    folded = {other.casefold(): other for other in names}
    found = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[found[0]] if found else None
