"""From labelme's JSON files, one an image, to COCO JSON."""
import base64
import binascii
import math
from io import BytesIO
from pathlib import Path, PureWindowsPath
from typing import (Any, Dict, List, NamedTuple, Optional, Sequence, Tuple,
                    Union)

import numpy as np
from PIL import Image
from pycocotools import mask as mask_api

from mmseghead.functional.outlines import clip_outline, ellipse_outline
from mmseghead.utils.files import PathLike
from ..coco_json import read_json
from .class_names import IGNORED_NAMES, classes_or_found, label_index
from .coco_builder import CocoBuilder
from .image_files import find_image, image_size, list_images
from .instances import Progress, Size, to_rle
from .report import ConversionReport

# Outlines (L, 2), or pixels from a corner (x, y) on.
Geometry = Union[np.ndarray, Tuple[int, int, np.ndarray]]


class _Shape(NamedTuple):
    label: str
    group: Any
    is_crowd: bool
    geometry: Geometry
    name: str


class _LabelFile(NamedTuple):
    path: Path
    image: Path
    size: Size
    shapes: List[_Shape]
    skipped: List[str]


def labelme_to_coco(source: PathLike,
                    target: PathLike,
                    *,
                    classes: Sequence[str] = (),
                    image_dir: Optional[PathLike] = None,
                    progress: Progress = None) -> ConversionReport:
    """Convert a folder of labelme's files.

    Polygons, rectangles (upright and turned), circles and masks become
    instances; shapes of one label and ``group_id`` are parts of one. Points
    and lines are left out, and reported. A shape with the flag ``iscrowd`` is
    a crowd region.

    Args:
        source: Folder of the ``.json`` files; subfolders are searched too.
        target: The COCO JSON to write.
        classes: Names in the order wanted; else all labels, sorted.
        image_dir: Folder that ``file_name`` starts from; ``source`` if None.
        progress: Called with (files read, files in all).

    Returns:
        Counts, and what was lost.

    Raises:
        FileNotFoundError: if there are no files, or an image is missing.
        ValueError: naming file and shape, if one is damaged, of an unknown
            class, or its image has another size.
    """
    source = Path(source)
    image_dir = Path(image_dir) if image_dir is not None else source
    # A second run must not stumble over what the first one wrote.
    paths = sorted(path for path in source.rglob('*.json')
                   if path.resolve() != Path(target).resolve())
    if not paths:
        raise FileNotFoundError(f'`source` of labelme_to_coco must be a '
                                f'folder with .json files, but {source} has '
                                'none.')
    files = []
    for done, path in enumerate(paths, 1):
        files.append(_read_file(path))
        if progress is not None:
            progress(done, len(paths))
    _check_images_differ(files)
    labels = [shape.label for file in files for shape in file.shapes]
    builder = CocoBuilder(
        classes_or_found(classes, set(labels) - set(IGNORED_NAMES)))
    for file in files:
        builder.add_image(_below(file.image, image_dir, file.path), file.size)
        _add_shapes(file, builder)
    seen = {file.image.resolve() for file in files}
    for image in list_images(source) if source == image_dir else ():
        if image.resolve() not in seen:
            builder.report.lose('unlabelled', str(image))
    builder.report.image_dir = str(image_dir)
    builder.write(target)
    return builder.report


def _check_images_differ(files: Sequence[_LabelFile]) -> None:
    seen: Dict[Path, Path] = {}
    for file in files:
        other = seen.setdefault(file.image.resolve(), file.path)
        if other != file.path:
            raise ValueError(f'{other} and {file.path} both annotate '
                             f'{file.image}; remove one of them.')


def _below(image: Path, folder: Path, path: Path) -> str:
    try:
        return image.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise ValueError(
            f'{path}: its image {image} must lie below the image folder '
            f'{folder}; give another `image_dir`.') from None


def _add_shapes(file: _LabelFile, builder: CocoBuilder) -> None:
    for name in file.skipped:
        builder.report.lose('skipped', name)
    groups: Dict[Any, List[_Shape]] = {}
    for index, shape in enumerate(file.shapes):
        if shape.label in IGNORED_NAMES:
            builder.report.lose('skipped', shape.name)
            continue
        key = ('alone', index) if shape.group is None else \
            (shape.label, shape.group)
        groups.setdefault(key, []).append(shape)
    for shapes in groups.values():
        first = shapes[0]
        label = label_index(first.label, builder.classes, first.name)
        segmentation = _joined([s.geometry for s in shapes], file.size)
        builder.add(label, segmentation, first.name,
                    any(s.is_crowd for s in shapes))
    if not groups:
        builder.report.lose('no_labels', str(file.path))


def _joined(parts: Sequence[Geometry], size: Size) -> Any:
    """Return outlines as they are, or the union with masks as an RLE."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return list(parts)
    rles = []
    for part in parts:
        if isinstance(part, np.ndarray):
            points = clip_outline(part, size)
            polygons = [points.ravel().tolist()] if len(points) > 2 else []
            rles.append(to_rle(polygons, size))
        else:
            rles.append(_pasted(*part, size))
    return mask_api.merge(rles)


def _pasted(left: int, top: int, crop: np.ndarray,
            size: Size) -> Dict[str, Any]:
    mask = np.zeros(size, np.uint8, order='F')
    y, x = max(top, 0), max(left, 0)
    crop = crop[y - top:, x - left:][:max(size[0] - y, 0), :max(size[1] -
                                                                x, 0)]
    mask[y:y + crop.shape[0], x:x + crop.shape[1]] = crop
    return mask_api.encode(mask)


def _read_file(path: Path) -> _LabelFile:
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get('shapes'), list):
        raise ValueError(f'{path} is no file of labelme: it must hold an '
                         'object with the list `shapes`.')
    image = _image_of(path, data.get('imagePath'))
    size = image_size(image)
    noted = data.get('imageHeight'), data.get('imageWidth')
    if None not in noted and tuple(noted) != size:
        raise ValueError(
            f'{path} is for an image of {noted[1]} x {noted[0]} px, but '
            f'{image} has {size[1]} x {size[0]}. Annotate it anew, or put '
            'back the image that was annotated.')
    shapes, skipped = [], []
    for index, shape in enumerate(data['shapes']):
        name = f'{path}: shape {index}'
        if not isinstance(shape, dict) or \
                not isinstance(shape.get('label'), str):
            raise ValueError(f'{name} must be an object with a `label`.')
        name += f' ({shape["label"]})'
        geometry = _geometry(shape, name)
        if geometry is None:
            skipped.append(f'{name}, a {shape["shape_type"]}')
            continue
        flags, group = shape.get('flags'), shape.get('group_id')
        if not isinstance(group, (int, str, type(None))):
            raise ValueError(f'{name}: `group_id` must be an int or null, got '
                             f'{group!r}.')
        is_crowd = isinstance(flags, dict) and bool(flags.get('iscrowd'))
        shapes.append(_Shape(shape['label'], group, is_crowd, geometry, name))
    return _LabelFile(path, image, size, shapes, skipped)


def _image_of(path: Path, image_path: Any) -> Path:
    """Return the image's path: as the file says, or else of its name."""
    if isinstance(image_path, str) and image_path:
        image = path.parent / PureWindowsPath(image_path).as_posix()
        if image.is_file():
            return image
    found = find_image(path.parent, Path(path.stem))
    if found is None:
        raise FileNotFoundError(
            f'{path}: its image is missing: `imagePath` is {image_path!r}, '
            f'and no image {path.stem}.* lies beside the file.')
    return found


def _geometry(shape: Dict[str, Any], name: str) -> Optional[Geometry]:
    """Return a shape's outline or pixels, None if it has no area."""
    kind = shape.get('shape_type') or 'polygon'
    if kind not in ('polygon', 'rectangle', 'oriented_rectangle', 'circle',
                    'mask'):
        return None
    points = _points(shape.get('points'), name)
    if kind == 'mask':
        crop = _decode(shape.get('mask'), name)
        left, top = points[0].round().astype(int).tolist()
        return left, top, crop
    if kind == 'rectangle' and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]])
    if kind == 'circle':
        if len(points) != 2:
            raise ValueError(f'{name}: a circle must have 2 points, centre '
                             f'and rim, got {len(points)}.')
        radius = math.dist(*points)
        # Without a radius there is a point, which covers no pixel.
        return ellipse_outline(points[0], (radius, radius)) \
            if radius else np.repeat(points[:1], 3, axis=0)
    if len(points) < 3:
        raise ValueError(f'{name}: a {kind} must have at least 3 points, got '
                         f'{len(points)}.')
    return points


def _points(points: Any, name: str) -> np.ndarray:
    """Return (L, 2) float64, L >= 1."""
    if not isinstance(points, list) or not points or not all(
            isinstance(point, list) and len(point) == 2
            and set(map(type, point)) <= {int, float} for point in points):
        raise ValueError(f'{name}: `points` must be a list of pairs [x, y] of '
                         'numbers.')
    array = np.array(points, np.float64)
    if not np.isfinite(array).all():
        index = int((~np.isfinite(array)).any(1).argmax())
        raise ValueError(f'{name}: `points` must be finite, but point {index} '
                         f'is {array[index].tolist()}.')
    return array


def _decode(text: Any, name: str) -> np.ndarray:
    """Return the (h, w) bool pixels of a shape's mask."""
    if not isinstance(text, str):
        raise ValueError(f'{name}: `mask` must be a PNG in base64, got '
                         f'{text!r}.')
    try:
        data = base64.b64decode(text, validate=True)
        pixels = np.array(Image.open(BytesIO(data)))
    except (binascii.Error, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'{name}: `mask` must be a PNG in base64, but it '
                         f'cannot be read: {error}.') from error
    if pixels.ndim != 2:
        raise ValueError(f'{name}: `mask` must be a PNG of one channel, got '
                         f'{pixels.shape[2]}.')
    return pixels > 0
