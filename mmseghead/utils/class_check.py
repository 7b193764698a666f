"""Comparing a config's classes with an annotation file's categories.

mmdet gives label i to the i-th category *in the file's order*. When the
config lists the names in another order, AP is right and every name in tables
and pictures is wrong; when names are missing, AP is 0 or training stops with
an unrelated message. Hence names, count and order must agree.
"""
import difflib
from itertools import zip_longest
from typing import List, Optional, Sequence

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
    fix = ("`num_classes` and `metainfo` follow from `classes` at the top of "
           "the config. To fix it, list the file's names there")
    if len(names) <= _MAX_ROWS:
        fix += f':\n  classes = {tuple(names)!r}'
    raise ValueError(
        f'`metainfo.classes` of {owner} must equal the categories of '
        f'{ann_file} in names, count and order.\n'
        f'{describe_difference(classes, names, "config", "file")}\n{fix}')


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


def describe_difference(left: Sequence[str], right: Sequence[str],
                        left_title: str, right_title: str) -> str:
    """Return a table of two lists of names, side by side, and hints.

    Args:
        left: Names of one side.
        right: Names of the other side.
        left_title: What to call the one side.
        right_title: What to call the other side.

    Returns:
        Lines of text. Rows that differ are marked with ``!``; of long lists
        only these are shown, and at most 30 of them.
    """
    rows = list(enumerate(zip_longest(left, right, fillvalue='-')))
    wrong = [row for row in rows if row[1][0] != row[1][1]]
    shown = rows if len(rows) <= _MAX_ROWS else wrong[:_MAX_ROWS]
    width = max(len(left_title), *(len(a) for _, (a, _) in shown))
    lines = [
        f'{left_title} has {len(left)}, {right_title} has {len(right)}; '
        f'{len(wrong)} rows differ:',
        f'  index    {left_title:{width}}  {right_title}'
    ]
    for index, (a, b) in shown:
        mark = ' ' if a == b else '!'
        lines.append(f'  {index:5d}  {mark} {a:{width}}  {b}')
    if len(rows) > _MAX_ROWS and len(wrong) > _MAX_ROWS:
        lines.append(f'  ... and {len(wrong) - _MAX_ROWS} more rows that '
                     'differ')
    return '\n'.join(lines + _hints(left, right))


def _hints(left: Sequence[str], right: Sequence[str]) -> List[str]:
    if sorted(left) == sorted(right):
        return ['The names agree, only their order differs.']
    hints = []
    for name in [name for name in left if name not in right][:5]:
        near = _nearest(name, right)
        if near is not None:
            hints.append(f'Did you mean {near!r} for {name!r}?')
    return hints


def _nearest(name: str, names: Sequence[str]) -> Optional[str]:
    """Return the name most like ``name``, case aside, or None."""
    folded = {other.casefold(): other for other in names}
    found = difflib.get_close_matches(name.casefold(), folded, n=1)
    return folded[found[0]] if found else None
