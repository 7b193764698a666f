"""From the VGG Image Annotator (VIA) to COCO JSON.

Reads projects and exported annotations of VIA 1 and 2, their CSV export, and
projects of VIA 3.
"""
import csv
import json
from pathlib import Path
from typing import (Any, Callable, Dict, List, NamedTuple, Optional, Sequence,
                    Set, Tuple)

import numpy as np

from mmseghead.functional.outlines import ellipse_outline
from mmseghead.utils.files import PathLike
from ..coco_json import read_json
from .class_names import classes_or_found, label_index
from .coco_builder import CocoBuilder
from .image_files import image_size
from .instances import Progress
from .report import ConversionReport

_CSV_COLUMNS = ('filename', 'region_shape_attributes', 'region_attributes')
# VIA 3 numbers its shapes; x and y follow each other in `xy`.
_VIA3_SHAPES = {
    1: ('point', ()),
    2: ('rect', ('x', 'y', 'width', 'height')),
    3: ('circle', ('cx', 'cy', 'r')),
    4: ('ellipse', ('cx', 'cy', 'rx', 'ry')),
    5: ('line', ()),
    6: ('polyline', ()),
    7: ('polygon', ()),
    8: ('extreme_rect', ()),
    9: ('extreme_circle', ()),
}


class _Region(NamedTuple):
    where: str
    shape: Dict[str, Any]
    attributes: Dict[str, Any]


class _Entry(NamedTuple):
    where: str
    file_name: str
    regions: List[_Region]


def via_to_coco(source: PathLike,
                image_dir: PathLike,
                target: PathLike,
                *,
                classes: Sequence[str] = (),
                attribute: Optional[str] = None,
                progress: Progress = None) -> ConversionReport:
    """Convert a project or an export of VIA.

    Polygons, rectangles, circles and ellipses become instances; points and
    lines are left out, and reported. An image without regions is background.

    Args:
        source: The JSON or CSV.
        image_dir: Folder of the images.
        target: The COCO JSON to write.
        classes: Names in the order wanted; else all that are found, sorted.
            One name alone, where regions have no attributes, is that of all.
        attribute: The region attribute that tells the class; may be None if
            there is only one.
        progress: Called with (images done, images in all).

    Returns:
        Counts, and what was lost.

    Raises:
        FileNotFoundError: if a file or an image is missing.
        ValueError: naming file and region, if one is damaged or of an unknown
            class, or if ``attribute`` is needed.
    """
    source, image_dir = Path(source), Path(image_dir)
    entries = _read_csv(source) if source.suffix.lower() == '.csv' else \
        _read_project(source)
    _check_unique(source, entries)
    attribute = _attribute(source, entries, attribute, classes)
    regions = [region for entry in entries for region in entry.regions]
    found = set() if attribute is None else \
        {_class_of(r, attribute) for r in regions if not _is_thin(r)}
    builder = CocoBuilder(classes_or_found(classes, found))
    for done, entry in enumerate(entries, 1):
        path = image_dir / entry.file_name
        if not path.is_file():
            raise FileNotFoundError(f'{entry.where}: there is no image '
                                    f'{path}.')
        builder.add_image(entry.file_name, image_size(path))
        _add_regions(entry, attribute, builder)
        if progress is not None:
            progress(done, len(entries))
    builder.report.image_dir = str(image_dir)
    builder.write(target)
    return builder.report


def _add_regions(entry: _Entry, attribute: Optional[str],
                 builder: CocoBuilder) -> None:
    for region in entry.regions:
        if _is_thin(region):
            builder.report.lose('skipped',
                                f'{region.where}, a {region.shape["name"]}')
            continue
        label = 0 if attribute is None else label_index(
            _class_of(region, attribute), builder.classes, region.where)
        builder.add(label, [_outline(region)], region.where)
    if not entry.regions:
        builder.report.lose('no_labels', entry.file_name)


def _check_unique(source: Path, entries: Sequence[_Entry]) -> None:
    if not entries:
        raise ValueError(f'{source} lists no images.')
    seen: Set[str] = set()
    for entry in entries:
        if entry.file_name in seen:
            raise ValueError(f'{entry.where}: {source} has the image '
                             f'{entry.file_name!r} more than once.')
        seen.add(entry.file_name)


def _attribute(source: Path, entries: Sequence[_Entry],
               attribute: Optional[str],
               classes: Sequence[str]) -> Optional[str]:
    """Return the attribute that tells the class, None if there is one class.
    """
    names = sorted({
        name
        for entry in entries
        for region in entry.regions
        for name in region.attributes
    })
    if attribute is not None:
        if names and attribute not in names:
            raise ValueError(f'`attribute` must be one of {names}, the region '
                             f'attributes of {source}, got {attribute!r}.')
        return attribute
    if len(names) == 1:
        return names[0]
    if len(classes) == 1:
        return None
    raise ValueError(
        f'{source}: '
        f'{"more than one" if names else "no"} region attribute could tell '
        f'the class: {names}. Choose one with `attribute`, or give one name '
        'as `classes`.')


def _class_of(region: _Region, attribute: str) -> str:
    value = region.attributes.get(attribute)
    if isinstance(value, dict):
        # A checkbox.
        chosen = [name for name, is_on in value.items() if is_on]
        value = chosen[0] if len(chosen) == 1 else chosen
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'{region.where}: the attribute {attribute!r} must '
                         f'hold one class name, got {value!r}.')
    return value.strip()


def _is_thin(region: _Region) -> bool:
    return region.shape['name'] not in _OUTLINES


def _outline(region: _Region) -> np.ndarray:
    """Return a region as (L, 2) points in pixels."""
    return _OUTLINES[region.shape['name']](region)


def _numbers(region: _Region, *keys: str) -> List[float]:
    shape = region.shape
    values = [shape.get(key) for key in keys]
    for key, value in zip(keys, values):
        if type(value) not in (int, float) or not np.isfinite(value):
            raise ValueError(
                f'{region.where}: `{key}` of a {shape["name"]} must be a '
                f'finite number, got {value!r}.')
    return values


def _polygon(region: _Region) -> np.ndarray:
    lists = [region.shape.get(f'all_points_{axis}') for axis in 'xy']
    for axis, values in zip('xy', lists):
        if not isinstance(values, list) or not all(
                type(v) in (int, float) and np.isfinite(v) for v in values):
            raise ValueError(f'{region.where}: `all_points_{axis}` must be a '
                             f'list of finite numbers, got {values!r}.')
    if len(lists[0]) != len(lists[1]) or len(lists[0]) < 3:
        raise ValueError(
            f'{region.where}: a polygon must have as many x as y, at least 3, '
            f'got {len(lists[0])} and {len(lists[1])}.')
    return np.array(lists, np.float64).T


def _rect(region: _Region) -> np.ndarray:
    x, y, width, height = _numbers(region, 'x', 'y', 'width', 'height')
    return np.array([[x, y], [x + width, y], [x + width, y + height],
                     [x, y + height]])


def _circle(region: _Region) -> np.ndarray:
    x, y, radius = _numbers(region, 'cx', 'cy', 'r')
    return _round(region, (x, y), (radius, radius), 0.0)


def _ellipse(region: _Region) -> np.ndarray:
    x, y, rx, ry = _numbers(region, 'cx', 'cy', 'rx', 'ry')
    # Before VIA 2.0.9 ellipses could not be turned.
    angle, = _numbers(region, 'theta') if 'theta' in region.shape else (0.0, )
    return _round(region, (x, y), (rx, ry), angle)


def _round(region: _Region, center: Tuple[float, float],
           radii: Tuple[float, float], angle_rad: float) -> np.ndarray:
    if min(radii) <= 0:
        raise ValueError(f'{region.where}: the radius of a '
                         f'{region.shape["name"]} must be > 0, got '
                         f'{min(radii)}.')
    return ellipse_outline(center, radii, angle_rad)


_OUTLINES: Dict[str, Callable[[_Region], np.ndarray]] = dict(
    polygon=_polygon, rect=_rect, circle=_circle, ellipse=_ellipse)


def _read_project(path: Path) -> List[_Entry]:
    data = read_json(path)
    if not isinstance(data, dict):
        raise ValueError(f'{path} is no file of VIA: it must hold an object.')
    if 'view' in data and 'metadata' in data:
        return _read_via3(path, data)
    data = data.get('_via_img_metadata', data)
    entries = []
    for key, item in data.items():
        where = f'{path}: image {key!r}'
        if not isinstance(item, dict) or \
                not isinstance(item.get('filename'), str):
            raise ValueError(
                f'{where} must be an object with `filename` and `regions`; '
                'allowed are projects and JSON exports of VIA 1 and 2, and '
                'projects of VIA 3.')
        regions = item.get('regions', [])
        # VIA 1 numbers regions with keys.
        regions = list(regions.values()) if isinstance(regions, dict) \
            else regions
        if not isinstance(regions, list):
            raise ValueError(f'{where}: `regions` must be a list, got '
                             f'{regions!r}.')
        entries.append(
            _Entry(where, item['filename'], [
                _region(f'{where}, region {i}', region)
                for i, region in enumerate(regions)
            ]))
    return entries


def _region(where: str, region: Any) -> _Region:
    region = region if isinstance(region, dict) else {}
    shape = region.get('shape_attributes')
    attributes = region.get('region_attributes') or {}
    if not isinstance(shape, dict) or not isinstance(
            shape.get('name'), str) or not isinstance(attributes, dict):
        raise ValueError(f'{where} must have `shape_attributes` with a '
                         '`name`, and `region_attributes`.')
    return _Region(where, shape, attributes)


def _read_csv(path: Path) -> List[_Entry]:
    if not path.is_file():
        raise FileNotFoundError(f'There is no file {path}.')
    entries: Dict[str, _Entry] = {}
    with open(path, encoding='utf-8-sig', newline='') as file:
        reader = csv.DictReader(file)
        # Some versions write a comment sign before the first column.
        names = [n.lstrip('# ') for n in reader.fieldnames or ()]
        reader.fieldnames = names
        missing = [name for name in _CSV_COLUMNS if name not in names]
        if missing:
            raise ValueError(f'{path} is no CSV of VIA: it has no column '
                             f'{missing[0]}; there are {names}.')
        for row in reader:
            where = f'{path}, line {reader.line_num}'
            name = row['filename']
            entry = entries.setdefault(name, _Entry(where, name, []))
            shape, attributes = (_cell(where, row, key)
                                 for key in _CSV_COLUMNS[1:])
            # An image without regions has one row with empty cells.
            if shape:
                entry.regions.append(
                    _region(
                        where,
                        dict(
                            shape_attributes=shape,
                            region_attributes=attributes)))
    return list(entries.values())


def _cell(where: str, row: Dict[str, str], key: str) -> Dict[str, Any]:
    try:
        value = json.loads(row[key] or '{}')
    except (TypeError, ValueError) as error:
        raise ValueError(f'{where}: `{key}` must be JSON, got '
                         f'{row[key]!r}.') from error
    if not isinstance(value, dict):
        raise ValueError(f'{where}: `{key}` must be a JSON object, got '
                         f'{row[key]!r}.')
    return value


def _read_via3(path: Path, data: Dict[str, Any]) -> List[_Entry]:
    entries: Dict[str, _Entry] = {}
    try:
        for view_id, view in data['view'].items():
            file = data['file'][str(view['fid_list'][0])]
            entries[view_id] = _Entry(f'{path}: image {file["fname"]!r}',
                                      file['fname'], [])
        names = {
            key: (item['aname'], item.get('options') or {})
            for key, item in data.get('attribute', {}).items()
        }
        for key, item in data['metadata'].items():
            entry = entries[item['vid']]
            # What has no coordinates describes the whole image.
            if item.get('xy'):
                entry.regions.append(
                    _via3_region(f'{entry.where}, region {key}', item, names))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f'{path} is no project of VIA 3: reading it failed '
                         f'at {error!r}.') from error
    return list(entries.values())


def _via3_region(where: str, item: Dict[str, Any],
                 names: Dict[str, Tuple[str, Dict[str, str]]]) -> _Region:
    number, *numbers = item['xy']
    kind, keys = _VIA3_SHAPES.get(number, (f'shape of number {number}', ()))
    shape: Dict[str, Any] = dict(zip(keys, numbers), name=kind)
    if kind == 'polygon':
        shape.update(all_points_x=numbers[::2], all_points_y=numbers[1::2])
    attributes = {}
    for key, value in item.get('av', {}).items():
        name, options = names[key]
        attributes[name] = options.get(value, value)
    return _Region(where, shape, attributes)
