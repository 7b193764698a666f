"""What may be wrong with a COCO JSON, each fault named with its annotation.

An *error* stops a run or changes its numbers without a word; a *warning* is
legal, and pycocotools and mmdet have a rule for it that may surprise.
Category ids with gaps, or 0, are neither.
"""
import math
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

Size = Tuple[int, int]

_NUMBERS = {int, float}
# How far a box or a polygon may stick out of its image, in pixels.
_MARGIN = 1.0


class Problem(NamedTuple):
    """One fault. ``severity`` is ``'error'`` or ``'warning'``."""

    severity: str
    message: str


class Problems(NamedTuple):
    """Messages of all faults of a file, in the order of the file."""

    errors: List[str]
    warnings: List[str]


def find_problems(data: Any, self_intersections: bool = False) -> Problems:
    """Check the content of a COCO annotation file.

    Args:
        data: What ``json.load`` returned; anything is taken.
        self_intersections: Also warn of polygons that cross themselves. Takes
            time quadratic in a polygon's points.

    Returns:
        Messages like "annotation 17: `category_id` must be one of the
        categories' ids (1, 2, 3), got 9.", errors and warnings apart.
    """
    problems = Problems([], [])
    for severity, message in iter_problems(data, self_intersections):
        chosen = problems.errors if severity == 'error' else problems.warnings
        chosen.append(message)
    return problems


def iter_problems(data: Any,
                  self_intersections: bool = False) -> Iterator[Problem]:
    """Yield the faults of :func:`find_problems` as they are met.

    A broken frame (a missing list) ends the search, as all else would follow
    from it.

    Args:
        data: What ``json.load`` returned; anything is taken.
        self_intersections: As for ``find_problems``.

    Yields:
        The faults.
    """
    frame = list(_frame(data))
    yield from frame
    if frame:
        return
    sizes: Dict[int, Size] = {}
    yield from _images(data['images'], sizes)
    categories: Dict[int, str] = {}
    yield from _categories(data['categories'], categories)
    if not data['annotations']:
        yield _warning('`annotations` is empty: every image is background.')
    seen: Dict[int, int] = {}
    for index, item in enumerate(data['annotations']):
        name = _name('annotation', item, index)
        if not isinstance(item, dict):
            yield _error(f'{name} must be an object, got {_short(item)}.')
            continue
        yield from _identity(name, item, seen, index)
        size = None
        for problem in _references(name, item, sizes, categories):
            yield problem
        if _is_int(item.get('image_id')):
            size = sizes.get(item['image_id'])
        yield from _measures(name, item, size)
        if size is not None:
            yield from segmentation_problems(
                name, item.get('segmentation'), size, self_intersections)


def iter_result_problems(results: Any,
                         data: Dict[str, Any]) -> Iterator[Problem]:
    """Yield the faults of predictions in COCO's results format.

    Args:
        results: What ``json.load`` returned; anything is taken.
        data: The annotation file that the predictions belong to, without
            errors.

    Yields:
        The faults.
    """
    if not isinstance(results, list):
        yield _error('Predictions must be a list of objects with `image_id`, '
                     '`category_id`, `score` and `segmentation`, got '
                     f'{_kind(results)}.')
        return
    sizes = {
        image['id']: (image['height'], image['width'])
        for image in data['images']
    }
    categories = {item['id']: item['name'] for item in data['categories']}
    for index, item in enumerate(results):
        name = f'prediction at index {index}'
        if not isinstance(item, dict):
            yield _error(f'{name} must be an object, got {_short(item)}.')
            continue
        yield from _references(name, item, sizes, categories)
        if not _is_finite(item.get('score')):
            yield _error(f'{name}: `score` must be a finite number, got '
                         f'{_short(item.get("score"))}.')
        if _is_int(item.get('image_id')) and item['image_id'] in sizes:
            yield from segmentation_problems(name, item.get('segmentation'),
                                             sizes[item['image_id']])


def segmentation_problems(
        name: str,
        segmentation: Any,
        size: Size,
        self_intersections: bool = False) -> Iterator[Problem]:
    """Yield what is wrong with one ``segmentation``.

    Args:
        name: What to call the annotation in messages.
        segmentation: Polygons or an RLE, or anything else.
        size: (H, W) of the image.
        self_intersections: As for ``find_problems``.

    Yields:
        The faults.
    """
    if isinstance(segmentation, dict):
        yield from _rle(name, segmentation, size)
        return
    if not isinstance(segmentation, list) or not segmentation:
        yield _error(
            f'{name}: `segmentation` must be a list of polygons [[x1, y1, x2, '
            f'y2, x3, y3, ...], ...] or an RLE {{"size": [height, width], '
            f'"counts": ...}}, got {_short(segmentation)}.')
        return
    for index, polygon in enumerate(segmentation):
        where = f'{name}: polygon {index}'
        fault = _polygon_fault(polygon)
        if fault is not None:
            yield _error(f'{where} must be a flat list of an even number of '
                         f'finite coordinates, at least 6, got {fault}.')
            continue
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        yield from _odd_polygon(where, points, size)
        if self_intersections and crosses_itself(points):
            yield _warning(f'{where} crosses itself; pixels that it winds '
                           'around twice are background.')


def crosses_itself(points: np.ndarray) -> bool:
    """Return whether two edges of a polygon cross.

    Args:
        points: (L, 2) float, the polygon's corners.

    Returns:
        True if two edges cross at a point inside of both. Touching, and
        going back along an edge, do not count.
    """
    start, end = points, np.roll(points, -1, axis=0)
    edges = end - start  # (L, 2)

    def side(of: np.ndarray) -> np.ndarray:
        """Return (L, L): on which side of edge i lies point j."""
        to = of[None] - start[:, None]  # (L, L, 2)
        return np.sign(edges[:, None, 0] * to[..., 1] -
                       edges[:, None, 1] * to[..., 0])

    apart = side(start) * side(end) < 0  # edge j crosses the line of edge i
    return bool((apart & apart.T).any())


def _error(message: str) -> Problem:
    return Problem('error', message)


def _warning(message: str) -> Problem:
    return Problem('warning', message)


def _frame(data: Any) -> Iterator[Problem]:
    if isinstance(data, list):
        yield _error('The file must hold an object with the lists `images`, '
                     '`annotations` and `categories`; this is a list, as of '
                     'predictions.')
        return
    if not isinstance(data, dict):
        yield _error('The file must hold an object with the lists `images`, '
                     f'`annotations` and `categories`, got {_kind(data)}.')
        return
    for key in ('images', 'annotations', 'categories'):
        if key not in data:
            yield _error(f'The list `{key}` is missing; there are '
                         f'{sorted(map(str, data))}.')
        elif not isinstance(data[key], list):
            yield _error(f'`{key}` must be a list, got {_kind(data[key])}.')
        elif not data[key] and key != 'annotations':
            yield _error(f'`{key}` must not be empty.')


def _images(images: List[Any], sizes: Dict[int, Size]) -> Iterator[Problem]:
    seen: Dict[int, int] = {}
    names: Dict[str, int] = {}
    for index, image in enumerate(images):
        name = _name('image', image, index)
        if not isinstance(image, dict):
            yield _error(f'{name} must be an object, got {_short(image)}.')
            continue
        yield from _identity(name, image, seen, index)
        file_name = image.get('file_name', image.get('coco_url'))
        if not isinstance(file_name, str) or not file_name:
            yield _error(f'{name}: `file_name` must be the path of the image '
                         f'below the image folder, got {_short(file_name)}.')
        elif file_name in names:
            yield _warning(f'{name} has the `file_name` of the image at index '
                           f'{names[file_name]}, {file_name!r}.')
        else:
            names[file_name] = index
        size = image.get('height'), image.get('width')
        if not all(_is_int(n) and n > 0 for n in size):
            yield _error(f'{name}: `height` and `width` must be ints > 0, got '
                         f'{_short(size[0])} and {_short(size[1])}.')
        elif _is_int(image.get('id')):
            sizes[image['id']] = size


def _categories(items: List[Any],
                categories: Dict[int, str]) -> Iterator[Problem]:
    seen: Dict[int, int] = {}
    for index, item in enumerate(items):
        name = _name('category', item, index)
        if not isinstance(item, dict):
            yield _error(f'{name} must be an object, got {_short(item)}.')
            continue
        yield from _identity(name, item, seen, index)
        label = item.get('name')
        if not isinstance(label, str) or not label:
            yield _error(f'{name}: `name` must be a string, got '
                         f'{_short(label)}.')
        elif label in categories.values():
            yield _warning(f'{name} has the name of another one, {label!r}; '
                           'a config tells classes apart by name.')
        if _is_int(item.get('id')):
            categories[item['id']] = label


def _identity(name: str, item: Dict[str, Any], seen: Dict[int, int],
              index: int) -> Iterator[Problem]:
    if not _is_int(item.get('id')):
        yield _error(f'{name}: `id` must be an int, got '
                     f'{_short(item.get("id"))}.')
        return
    if item['id'] in seen:
        yield _error(f'{name}: `id` must be unique, but the one at index '
                     f'{seen[item["id"]]} has it too (this one is at index '
                     f'{index}).')
    elif item['id'] == 0 and name.startswith('annotation'):
        yield _warning(f'{name}: pycocotools takes the id 0 for "not '
                       'matched", which lowers AP. Number from 1.')
    seen.setdefault(item['id'], index)


def _references(name: str, item: Dict[str, Any], sizes: Dict[int, Size],
                categories: Dict[int, str]) -> Iterator[Problem]:
    image_id, category_id = item.get('image_id'), item.get('category_id')
    if not _is_int(image_id) or image_id not in sizes:
        yield _error(f'{name}: `image_id` must be the id of one of the '
                     f'{len(sizes)} images, got {_short(image_id)}.')
    if not _is_int(category_id) or category_id not in categories:
        ids = ', '.join(map(str, sorted(categories)[:8]))
        more = ', ...' if len(categories) > 8 else ''
        yield _error(f"{name}: `category_id` must be one of the categories' "
                     f'ids ({ids}{more}), got {_short(category_id)}.')


def _measures(name: str, item: Dict[str, Any],
              size: Optional[Size]) -> Iterator[Problem]:
    """Check ``bbox``, ``area`` and ``iscrowd``."""
    box = item.get('bbox')
    if not isinstance(box, list) or len(box) != 4 or \
            not all(map(_is_finite, box)) or min(box[2:]) < 0:
        yield _error(f'{name}: `bbox` must be four finite numbers [x, y, '
                     f'width, height], sizes >= 0, got {_short(box)}.')
    else:
        x, y, width, height = box
        if not width or not height:
            yield _warning(f'{name}: `bbox` has no area, {box}; mmdet leaves '
                           'the annotation out.')
        if size is not None and (
                min(x, y) < -_MARGIN or x + width > size[1] + _MARGIN
                or y + height > size[0] + _MARGIN):
            yield _warning(f'{name}: `bbox` {box} leaves the image of '
                           f'{size[1]} x {size[0]} px; it is [x, y, width, '
                           'height].')
    area = item.get('area')
    if not _is_finite(area) or area < 0:
        yield _error(f'{name}: `area` must be a finite number >= 0, got '
                     f'{_short(area)}.')
    elif not area:
        yield _warning(f'{name}: `area` is 0; mmdet leaves the annotation '
                       'out.')
    if item.get('iscrowd', 0) not in (0, 1):
        yield _error(f'{name}: `iscrowd` must be 0 or 1, got '
                     f'{_short(item["iscrowd"])}.')


def _polygon_fault(polygon: Any) -> Optional[str]:
    if not isinstance(polygon, list):
        return _short(polygon)
    if not set(map(type, polygon)) <= _NUMBERS:
        wrong = next(v for v in polygon if type(v) not in _NUMBERS)
        return f'{_short(wrong)} among them'
    if len(polygon) % 2 or len(polygon) < 6:
        return f'{len(polygon)} numbers'
    if not all(map(math.isfinite, polygon)):
        index = [math.isfinite(v) for v in polygon].index(False)
        return f'{polygon[index]} at index {index}'
    return None


def _odd_polygon(where: str, points: np.ndarray,
                 size: Size) -> Iterator[Problem]:
    low, high = points.min(0), points.max(0)
    if (low < -_MARGIN).any() or high[0] > size[1] + _MARGIN or \
            high[1] > size[0] + _MARGIN:
        yield _warning(f'{where} leaves the image of {size[1]} x {size[0]} '
                       f'px: x from {low[0]:g} to {high[0]:g}, y from '
                       f'{low[1]:g} to {high[1]:g}. It is cut off there.')
    if (low == high).any():
        yield _warning(f'{where} has no area.')


def _rle(name: str, rle: Dict[str, Any], size: Size) -> Iterator[Problem]:
    found = rle.get('size')
    if not isinstance(found, (list, tuple)) or tuple(found) != size:
        yield _error(f'{name}: `size` of the RLE must be [height, width] of '
                     f'its image, {list(size)}, got {_short(found)}.')
        return
    try:
        counts = rle_counts(rle.get('counts'))
    except ValueError as error:
        yield _error(f'{name}: {error}')
        return
    if counts.sum() != size[0] * size[1]:
        yield _error(f'{name}: the counts of the RLE must sum to the '
                     f'{size[0] * size[1]} pixels of its image, got '
                     f'{counts.sum()}.')
    elif not counts[1::2].any():
        yield _warning(f'{name}: the RLE has no pixels.')


def rle_counts(counts: Any) -> np.ndarray:
    """Return the run lengths of an RLE's ``counts``.

    Args:
        counts: A list of ints, or COCO's compressed string (or bytes).

    Returns:
        (n,) int64 run lengths, background first.

    Raises:
        ValueError: if the counts are of another kind or damaged.

    Source: the format is that of pycocotools, ``rleFrString``.
    """
    if isinstance(counts, list) and set(map(type, counts)) <= {int}:
        runs = np.array(counts, np.int64)
    elif isinstance(counts, (str, bytes)):
        runs = _decompress(counts)
    else:
        raise ValueError('`counts` of an RLE must be a string or a list of '
                         f'ints, got {_short(counts)}.')
    if (runs < 0).any():
        raise ValueError('`counts` of the RLE must be >= 0, but number '
                         f'{int((runs < 0).argmax())} is negative.')
    return runs


def _decompress(counts: Any) -> np.ndarray:
    text = counts.encode('latin-1', 'replace') \
        if isinstance(counts, str) else counts
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not len(codes):
        return np.zeros(0, np.int64)
    if codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        raise ValueError('`counts` of the RLE is damaged or cut off.')
    # Five bits a character, low ones first; bit 5 says that more follow.
    last = np.flatnonzero(codes & 32 == 0)
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() > 6:
        raise ValueError('`counts` of the RLE is damaged or cut off.')
    shift = 5 * (np.arange(len(codes)) - np.repeat(first, last - first + 1))
    runs = np.add.reduceat((codes & 31) << shift, first)
    negative = codes[last] & 16 != 0
    runs[negative] -= 1 << (shift[last[negative]] + 5)
    # From the fourth on, each is the difference to the one before the last.
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    return type(value) in _NUMBERS and math.isfinite(value)


def _kind(value: Any) -> str:
    return {dict: 'an object', list: 'a list', str: 'a string'}.get(
        type(value), repr(value))


def _short(value: Any) -> str:
    text = 'nothing' if value is None else repr(value)
    return text if len(text) <= 60 else f'{text[:57]}...'


def _name(kind: str, item: Any, index: int) -> str:
    if isinstance(item, dict) and _is_int(item.get('id')):
        return f'{kind} {item["id"]}'
    return f'{kind} at index {index}'
