"""Lists of class names, and names that are not in them."""
import difflib
from pathlib import Path
from typing import Iterable, List, Sequence, Tuple

from mmseghead.utils.files import PathLike

#: Names that labelme's class lists give to what is no class.
IGNORED_NAMES = ('__ignore__', '_background_')


def read_class_names(path: PathLike) -> Tuple[str, ...]:
    """Read class names from a text file, one a line.

    Args:
        path: The file. Empty lines and labelme's ``__ignore__`` and
            ``_background_`` are passed over.

    Returns:
        At least one name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no name, or one twice.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'There is no list of classes {path}.')
    names: List[str] = []
    for number, line in enumerate(path.read_text('utf-8-sig').splitlines(), 1):
        name = line.strip()
        if not name or name in IGNORED_NAMES:
            continue
        if name in names:
            raise ValueError(f'{path}, line {number}: the class {name!r} '
                             'comes twice.')
        names.append(name)
    if not names:
        raise ValueError(f'{path} must list at least one class, one a line.')
    return tuple(names)


def label_index(name: str, classes: Sequence[str], where: str) -> int:
    """Return the index of a class.

    Args:
        name: Its name.
        classes: All names.
        where: What to begin the message with.

    Returns:
        0 to n - 1.

    Raises:
        ValueError: if there is no such class; names the nearest one.
    """
    if name in classes:
        return list(classes).index(name)
    near = difflib.get_close_matches(name, classes, n=1)
    hint = f' Did you mean {near[0]!r}?' if near else ''
    shown = ', '.join(classes[:10]) + (', ...' if len(classes) > 10 else '')
    raise ValueError(f'{where}: the class must be one of {shown}; got '
                     f'{name!r}.{hint}')


def classes_or_found(classes: Sequence[str],
                     found: Iterable[str]) -> Tuple[str, ...]:
    """Return ``classes``, or else the sorted names that were found.

    Args:
        classes: Names that the caller asked for; may be empty.
        found: Names in the data.

    Returns:
        The names.

    Raises:
        ValueError: if both are empty.
    """
    names = tuple(classes) or tuple(sorted(set(found)))
    if not names:
        raise ValueError('There is no labelled shape to take `classes` from; '
                         'give the list of classes.')
    return names
