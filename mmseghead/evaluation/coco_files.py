"""COCO annotations and results, checked before anything is computed.

Neither torch nor mmdet is needed: predictions of any toolbox can be read.
"""
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import (Any, Collection, Dict, List, NamedTuple, Sequence, Tuple,
                    Union)

import numpy as np

from mmseghead.evaluation.functional.instances import Found, Truth
from .coco_masks import box_of, mask_area, to_rle

PathLike = Union[str, Path]
ImageId = Union[int, str]


class ImageInfo(NamedTuple):
    """An image of the annotation file.

    Args:
        id: As in the file.
        file_name: As in the file; empty where it has none.
        height: Pixels.
        width: Pixels.
    """
    id: ImageId
    file_name: str
    height: int
    width: int


@dataclass(frozen=True)
class Annotations:
    """The ground truth of a data set.

    Args:
        path: The file.
        images: Sorted by id.
        classes: Names, sorted by the categories' ids.
        category_ids: The ids.
        truth: One item an image.
        num_flagged: How many instances, crowds aside, carry ``ignore``.
    """
    path: Path
    images: List[ImageInfo]
    classes: Tuple[str, ...]
    category_ids: List[int]
    truth: List[Truth]
    num_flagged: int


@dataclass(frozen=True)
class Results:
    """The predictions of a model.

    Args:
        path: The file.
        found: One item an image, in the order of the annotations' images.
        has_boxes: Whether each prediction brings its box; else ``boxes`` are
            those of the masks.
    """
    path: Path
    found: List[Found]
    has_boxes: bool

    def __len__(self) -> int:
        return sum(len(found.labels) for found in self.found)


def _load(path: PathLike) -> Any:
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except FileNotFoundError:
        raise FileNotFoundError(f'There is no file {path}.')
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is no valid JSON: {error}. Was it written '
                         'completely?')


def _order(value: ImageId) -> tuple:
    return isinstance(value, str), value


def read_annotations(path: PathLike) -> Annotations:
    """Read a COCO annotation file for instance segmentation.

    Instances with ``iscrowd`` are crowds; those with ``ignore`` count
    neither as found nor as missed. Masks may be polygons or RLE, compressed
    or not; ``area`` and ``bbox`` are computed where they are missing.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is no COCO JSON, an id occurs twice, an annotation
            names an unknown image or category, or a mask does not fit; names
            the entry.
    """
    data = _load(path)
    missing = [key for key in ('images', 'annotations', 'categories')
               if not isinstance(data, dict) or
               not isinstance(data.get(key), list)]
    if missing:
        raise ValueError(f'{path} must be a COCO annotation file, an object '
                         f'with lists images, annotations and categories; it '
                         f'lacks {", ".join(missing)}.')
    images = [_image(path, entry) for entry in data['images']]
    _no_duplicates(path, 'image', [image.id for image in images])
    if not images:
        raise ValueError(f'{path} lists no images; at least one is needed.')
    images.sort(key=lambda image: _order(image.id))
    categories = _categories(path, data['categories'])
    category_ids = [entry['id'] for entry in categories]
    _no_duplicates(path, 'category', category_ids)
    labels = {number: k for k, number in enumerate(category_ids)}
    _no_duplicates(path, 'annotation', [
        entry['id'] for entry in data['annotations']
        if isinstance(entry, dict) and 'id' in entry
    ])
    by_image: Dict[ImageId, List[dict]] = defaultdict(list)
    known = {image.id for image in images}
    for i, entry in enumerate(data['annotations']):
        _check_reference(_place(path, i, entry), entry, known, labels)
        by_image[entry['image_id']].append(entry)
    truth = [_truth(path, by_image[image.id], image, labels)
             for image in images]
    flagged = sum(int((item.ignored & ~item.crowd).sum()) for item in truth)
    names = [str(entry.get('name', entry['id'])) for entry in categories]
    names = tuple(
        name if names.count(name) == 1 else f'{name} ({number})'
        for name, number in zip(names, category_ids))
    return Annotations(
        Path(path), images, names, category_ids, truth, flagged)


def _image(path: PathLike, entry: dict) -> ImageInfo:
    try:
        info = ImageInfo(entry['id'], str(entry.get('file_name', '')),
                         int(entry['height']), int(entry['width']))
    except (KeyError, TypeError, ValueError, AttributeError):
        info = None
    if info is None or info.height < 1 or info.width < 1:
        raise ValueError(f'Each image of {path} must have an id and a height '
                         f'and width >= 1, got {entry!r:.200}.')
    return info


def _categories(path: PathLike, entries: List[dict]) -> List[dict]:
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(
                entry.get('id'), int):
            raise ValueError(f'Each category of {path} must have an integer '
                             f'id, got {entry!r:.200}.')
    return sorted(entries, key=lambda entry: entry['id'])


def _no_duplicates(path: PathLike, kind: str, ids: Sequence) -> None:
    seen = set()
    for number in ids:
        if number in seen:
            raise ValueError(f'{path} has more than one {kind} with id '
                             f'{number!r}; ids must be unique.')
        seen.add(number)


def _check_reference(where: str, entry: dict, images: Collection,
                     labels: Dict[int, int]) -> None:
    """Raise unless an entry names an image and a category that exist."""
    if not isinstance(entry, dict):
        raise ValueError(f'{where} must be an object, got {entry!r:.80}.')
    for key, known in (('image_id', images), ('category_id', labels)):
        if key not in entry:
            raise ValueError(f'{where} lacks `{key}`: {entry!r:.200}.')
        if _hashable(entry[key]) not in known:
            raise ValueError(
                f'{where} has `{key}` {entry[key]!r}, which the annotation '
                f'file does not list. It lists {len(known)}: '
                f'{_some(known)}. Do both belong to one data set?')


def _hashable(value: Any) -> Any:
    # True equals 1, and a list cannot be looked up.
    return value if isinstance(value, (int, float, str)) and not isinstance(
        value, bool) else object()


def _some(values: Any) -> str:
    ordered = sorted(values, key=_order)
    text = ', '.join(map(repr, ordered[:10]))
    return text + (', ...' if len(ordered) > 10 else '')


def _place(path: PathLike, i: int, entry: Any) -> str:
    number = entry.get('id') if isinstance(entry, dict) else None
    return f'Annotation {i if number is None else number!r} of {path}'


def _checked_box(where: str, box: Any) -> List[float]:
    fits = isinstance(box, list) and len(box) == 4 and all(
        isinstance(x, (int, float)) and math.isfinite(x) for x in box)
    if not fits:
        raise ValueError(f'{where} must have four finite numbers x, y, w, h '
                         f'as `bbox`, got {box!r:.80}.')
    return box


def _truth(path: PathLike, entries: List[dict], image: ImageInfo,
           labels: Dict[int, int]) -> Truth:
    if all('id' in entry for entry in entries):
        # Of equal overlaps the later instance counts: fix what is later.
        entries = sorted(entries, key=lambda entry: _order(entry['id']))
    masks, boxes, areas = [], [], []
    for i, entry in enumerate(entries):
        where = f'{_place(path, i, entry)} (image {image.id!r})'
        mask = to_rle(where, entry.get('segmentation'), image.height,
                      image.width)
        masks.append(mask)
        box = entry.get('bbox')
        boxes.append(box_of(mask) if box is None else _checked_box(where, box))
        area = entry.get('area')
        areas.append(mask_area(mask) if area is None else area)
    crowd = np.array([bool(entry.get('iscrowd')) for entry in entries], bool)
    flag = np.array([bool(entry.get('ignore')) for entry in entries], bool)
    numbers = np.array([labels[e['category_id']] for e in entries], int)
    return Truth(numbers, masks, np.array(boxes, float).reshape(-1, 4),
                 np.array(areas, float), crowd | flag, crowd)


def read_results(path: PathLike, annotations: Annotations) -> Results:
    """Read a list of COCO results with masks.

    Args:
        path: The file, a list of ``{"image_id", "category_id", "score",
            "segmentation"}``, with ``"bbox"`` or without; may be empty.
        annotations: The ground truth that the results belong to.

    Returns:
        The results in an order that does not depend on the file's.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is no such list, an entry names an unknown image or
            category, a score is no finite number, or a mask is missing or
            does not fit the image; names the entry.
    """
    data = _load(path)
    if not isinstance(data, list):
        hint = ' This is an annotation file.' if isinstance(
            data, dict) and 'annotations' in data else ''
        raise ValueError(f'{path} must be a list of COCO results, got a '
                         f'{type(data).__name__}.{hint}')
    labels = {number: k for k, number in enumerate(annotations.category_ids)}
    images = {image.id: image for image in annotations.images}
    by_image: Dict[ImageId, List[tuple]] = defaultdict(list)
    for i, entry in enumerate(data):
        where = f'Entry {i} of {path}'
        _check_reference(where, entry, images, labels)
        by_image[entry['image_id']].append(
            _result(where, entry, images[entry['image_id']], labels))
    has_boxes = all(entry.get('bbox') is not None for entry in data)
    found = [_found(by_image[image.id], has_boxes)
             for image in annotations.images]
    return Results(Path(path), found, has_boxes)


def _result(where: str, entry: dict, image: ImageInfo,
            labels: Dict[int, int]) -> tuple:
    """Return score, label, mask and box; a box of None if there is none."""
    score = entry.get('score')
    if isinstance(score, bool) or not isinstance(
            score, (int, float)) or not math.isfinite(score):
        raise ValueError(f'{where} must have a finite number as `score`, got '
                         f'{score!r}.')
    if not entry.get('segmentation'):
        raise ValueError(
            f'{where} must have a `segmentation`, RLE or polygons, got '
            f'{entry.get("segmentation")!r}; is it the file of boxes '
            '(.bbox.json) in place of that of masks (.segm.json)?')
    mask = to_rle(where, entry['segmentation'], image.height, image.width)
    box = entry.get('bbox')
    if box is not None:
        _checked_box(where, box)
    return float(score), labels[entry['category_id']], mask, box


def _found(items: List[tuple], has_boxes: bool) -> Found:
    # By content where scores are equal: the file's order must not matter.
    items = sorted(items, key=lambda item: (
        -item[0], item[1], item[2]['counts'], item[3] or []))
    masks = [item[2] for item in items]
    boxes = [item[3] if has_boxes else box_of(item[2]) for item in items]
    return Found(
        np.array([item[1] for item in items], int), masks,
        np.array(boxes, float).reshape(-1, 4),
        np.array([mask_area(mask) for mask in masks], float),
        np.array([item[0] for item in items], float))


def with_mask_boxes(results: Results) -> Results:
    """Return results whose boxes are those around the masks.

    Args:
        results: With boxes or without.
    """
    found = [
        item._replace(boxes=np.array(
            [box_of(mask) for mask in item.masks], float).reshape(-1, 4))
        for item in results.found
    ]
    return Results(results.path, found, False)
