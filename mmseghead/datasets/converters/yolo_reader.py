"""From YOLO-seg's label files to COCO JSON."""
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np
import yaml

from mmseghead.utils.files import PathLike
from .class_names import read_class_names
from .coco_builder import CocoBuilder
from .image_files import IMAGE_SUFFIXES, find_image, image_size, list_images
from .instances import Progress
from .report import ConversionReport

# How far a coordinate may lie outside of the image, in image sizes.
_TOLERANCE = 0.1
# What was 10.1 px before it was divided by the width is 10.1 px again, and
# not 10.0999996, which fills other pixels.
_DECIMALS_PX = 3


class _Split(NamedTuple):
    images: List[Path]
    image_dir: Path
    classes: Tuple[str, ...]


def yolo_to_coco(source: PathLike,
                 target: PathLike,
                 *,
                 split: str = 'train',
                 classes: Sequence[str] = (),
                 progress: Progress = None) -> ConversionReport:
    """Convert one split of a YOLO-seg data set.

    A line ``class x1 y1 x2 y2 ...`` is an instance and becomes one polygon;
    parts and holes that are joined by bridges of no width stay in it, and
    pycocotools fills it right. An image without a label file is background.

    Args:
        source: ``data.yaml``, or a folder with ``images/``, ``labels/`` and
            a list of classes ``classes.txt``.
        target: The COCO JSON to write.
        split: The key of ``data.yaml``; of no use for a folder.
        classes: Names, for a folder without ``classes.txt``.
        progress: Called with (images done, images in all).

    Returns:
        Counts, and what was lost. ``image_dir`` is the folder that file names
        start from.

    Raises:
        FileNotFoundError: if files are missing.
        ValueError: naming file and line, if one is damaged, a box, or of an
            unknown class, or a label file has no image.
    """
    source = Path(source)
    found = _read_folder(source, classes) if source.is_dir() else \
        _read_yaml(source, split)
    builder = CocoBuilder(found.classes)
    _check_labels_have_images(found.images)
    for done, image in enumerate(found.images, 1):
        size = image_size(image)
        builder.add_image(image.relative_to(found.image_dir).as_posix(), size)
        label_file = label_path(image)
        rows = read_rows(label_file, len(found.classes), builder.report) \
            if label_file.is_file() else []
        if not rows:
            builder.report.lose('no_labels', str(image))
        for number, label, points in rows:
            outline = to_pixels(points, size)
            builder.add(label, [outline], f'{label_file}, line {number}')
        if progress is not None:
            progress(done, len(found.images))
    builder.report.image_dir = str(found.image_dir)
    builder.write(target)
    return builder.report


def label_path(image: Path) -> Path:
    """Return where the labels of an image are: images/ becomes labels/."""
    parts = list(image.parts)
    places = [i for i, part in enumerate(parts[:-1]) if part == 'images']
    if not places:
        raise ValueError(f'{image} must lie below a folder `images`, beside '
                         'which `labels` is.')
    parts[places[-1]] = 'labels'
    return Path(*parts).with_suffix('.txt')


def to_pixels(points: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """Return (L, 2) points in pixels of shares of an image of (H, W)."""
    return (points * [size[1], size[0]]).round(_DECIMALS_PX)


def read_rows(
        path: Path, num_classes: int,
        report: ConversionReport) -> List[Tuple[int, int, np.ndarray]]:
    """Read a label file.

    Args:
        path: The file.
        num_classes: The upper bound of class numbers.
        report: Takes lines that come twice.

    Returns:
        Line number from 1, label, and (L, 2) points, of each line; points in
        shares of the image's size.

    Raises:
        ValueError: naming file and line, if one is damaged.
    """
    try:
        lines = path.read_text('utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} must be text, but is not: {error}.') \
            from error
    rows: List[Tuple[int, int, np.ndarray]] = []
    seen: Dict[Tuple[str, ...], int] = {}
    for number, line in enumerate(lines, 1):
        fields = tuple(line.split())
        if not fields:
            continue
        if fields in seen:
            report.lose('duplicates', f'{path}, line {number}')
            continue
        seen[fields] = number
        where = f'{path}, line {number}'
        rows.append((number, _label(fields[0], num_classes, where),
                     _points(fields[1:], where)))
    return rows


def _label(text: str, num_classes: int, where: str) -> int:
    try:
        label = float(text)
    except ValueError:
        label = -1.0
    if label not in range(num_classes):
        raise ValueError(f'{where}: the class must be an int from 0 to '
                         f'{num_classes - 1}, got {text!r}.')
    return int(label)


def _points(fields: Sequence[str], where: str) -> np.ndarray:
    try:
        values = np.array([float(field) for field in fields])
    except ValueError as error:
        raise ValueError(f'{where}: coordinates must be numbers: '
                         f'{error}.') from error
    if len(values) == 4:
        raise ValueError(f'{where} holds a box (4 numbers), not an outline. '
                         'Allowed is a class and at least 3 points x y.')
    if len(values) % 2 or len(values) < 6:
        raise ValueError(f'{where} must hold a class and at least 3 points x '
                         f'y, got {len(values)} numbers after the class.')
    if not np.isfinite(values).all():
        raise ValueError(f'{where}: coordinates must be finite, got '
                         f'{fields[int((~np.isfinite(values)).argmax())]}.')
    beyond = np.maximum(-values, values - 1)
    if beyond.max() > _TOLERANCE:
        raise ValueError(
            f'{where}: coordinates must be shares of the width and height, '
            f'from 0 to 1 (beyond that by up to {_TOLERANCE:g} is cut off), '
            f'got {fields[int(beyond.argmax())]}.')
    return values.reshape(-1, 2)


def _check_labels_have_images(images: Sequence[Path]) -> None:
    expected = {label_path(image) for image in images}
    folders = {label_path(image).parent: image.parent for image in images}
    # A list of images may leave some out, whose labels are no mistake.
    alone = sorted(
        path for labels, folder in folders.items()
        for path in labels.glob('*.txt')
        if path not in expected and path.name != 'classes.txt'
        and find_image(folder, Path(path.stem)) is None)
    if alone:
        raise ValueError(
            f'{len(alone)} label files have no image '
            f'({", ".join(IMAGE_SUFFIXES)}), the first is {alone[0]}. Add '
            'the images or remove the files.')


def _read_folder(folder: Path, classes: Sequence[str]) -> _Split:
    for name in ('images', 'labels'):
        if not (folder / name).is_dir():
            raise FileNotFoundError(
                f'`source` of yolo_to_coco must be a data.yaml or a folder '
                f'with images/ and labels/; {folder} has no {name}/.')
    names = tuple(classes) or read_class_names(folder / 'classes.txt')
    image_dir = folder / 'images'
    return _Split(list_images(image_dir), image_dir, names)


def _read_yaml(path: Path, split: str) -> _Split:
    if not path.is_file():
        raise FileNotFoundError(f'There is no file or folder {path}.')
    try:
        data = yaml.safe_load(path.read_text('utf-8'))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is no valid YAML: {error}.') from error
    if not isinstance(data, dict):
        raise ValueError(f'{path} must hold keys `train`, `val`, `names`.')
    names = _names(path, data)
    entry = data.get(split)
    entries = entry if isinstance(entry, list) else [entry]
    if not all(isinstance(item, str) and item for item in entries):
        have = sorted({'train', 'val', 'test'} & set(data))
        raise ValueError(f'{path}: `{split}` must be a folder of images, a '
                         f'.txt list of them, or a list of these, got '
                         f'{entry!r}. The file has {have}.')
    root = (path.parent / str(data.get('path') or '')).absolute()
    images: List[Path] = []
    for item in entries:
        images += _images_of(root / item, root)
    folder = root / entries[0]
    image_dir = folder if len(entries) == 1 and folder.is_dir() else root
    outside = [i for i in images if image_dir not in i.parents]
    if outside:
        raise ValueError(f'{path}: all images of `{split}` must lie below '
                         f'{image_dir}, but {outside[0]} does not.')
    return _Split(images, image_dir, names)


def _images_of(entry: Path, root: Path) -> List[Path]:
    """Return the images of a folder or of a list of paths."""
    if entry.suffix != '.txt':
        return list_images(entry)
    if not entry.is_file():
        raise FileNotFoundError(f'There is no list of images {entry}.')
    images = []
    for number, line in enumerate(entry.read_text('utf-8').splitlines(), 1):
        if not line.strip():
            continue
        image = root / line.strip()
        if not image.is_file():
            raise FileNotFoundError(f'{entry}, line {number}: there is no '
                                    f'image {image}.')
        images.append(image)
    return images


def _names(path: Path, data: Dict[str, Any]) -> Tuple[str, ...]:
    names = data.get('names')
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise ValueError(f'{path}: the numbers in `names` must be 0 to '
                             f'{len(names) - 1} without gaps, got '
                             f'{list(names)}.')
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(f'{path}: `names` must list the classes, got '
                         f'{names!r}.')
    if data.get('nc', len(names)) != len(names):
        raise ValueError(f'{path}: `nc` is {data["nc"]!r}, but `names` lists '
                         f'{len(names)} classes.')
    return tuple(map(str, names))
