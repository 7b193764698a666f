"""From PNG instance masks to COCO JSON."""
from pathlib import Path
from typing import (Any, Dict, Iterator, List, NamedTuple, Optional, Sequence,
                    Tuple)

import numpy as np
from PIL import Image, UnidentifiedImageError

from mmseghead.utils.files import PathLike
from ..coco_json import read_json
from .class_names import classes_or_found, label_index
from .coco_builder import CocoBuilder
from .image_files import image_size, list_images
from .instances import Progress, Size
from .report import ConversionReport

#: How ids or files tell the class.
RULES = ('sidecar', 'single', 'thousands', 'files')
# Pillow before 10.3 opens 16 bits as `I`.
_MODES = ('1', 'L', 'P', 'I', 'I;16', 'I;16B', 'I;16L')
_THOUSAND = 1000


class _Found(NamedTuple):
    name: str
    label: str
    mask: np.ndarray
    is_crowd: bool = False


def png_to_coco(image_dir: PathLike,
                mask_dir: PathLike,
                target: PathLike,
                *,
                rule: str = 'sidecar',
                classes: Sequence[str] = (),
                class_ids: Sequence[int] = (),
                ignore: Sequence[int] = (),
                mask_suffix: str = '',
                progress: Progress = None) -> ConversionReport:
    """Convert PNG instance masks.

    The rule says where instances and classes are to be found:

    - ``sidecar``: a PNG of ids an image, and a JSON of the same name that
      tells the class of each id, as ``coco_to_png`` writes;
    - ``single``: a PNG of ids an image, one class;
    - ``thousands``: a PNG of ids an image, ``class_id * 1000 + n``; smaller
      ids are no instances, and reported;
    - ``files``: a folder ``<image's name>/`` of one PNG a mask, which is not 0
      on the instance; of one class, or in subfolders of the classes' names.

    0 is background. Palettes are passed over: their indices are the ids.

    Args:
        image_dir: Folder of the images; subfolders are searched too.
        mask_dir: Folder of the masks, laid out like the images.
        target: The COCO JSON to write.
        rule: One of the above.
        classes: Names in the order wanted. Needed by ``single`` and
            ``thousands``; else all that are found, sorted.
        class_ids: Numbers of the classes for ``thousands``; 1 to n if empty.
        ignore: Ids that are no instances, such as 255 for a border.
        mask_suffix: What a mask's name has behind the image's, before
            ``.png``.
        progress: Called with (images done, images in all).

    Returns:
        Counts, and what was lost.

    Raises:
        FileNotFoundError: if folders, images or masks are missing.
        ValueError: naming the file, if one is damaged, has another size, more
            than one channel, or an id without a class.
    """
    image_dir, mask_dir = Path(image_dir), Path(mask_dir)
    numbers = _check_arguments(rule, classes, class_ids)
    images = list_images(image_dir)
    builder = CocoBuilder(
        tuple(classes) or _found_classes(rule, images, image_dir, mask_dir))
    for done, image in enumerate(images, 1):
        relative = image.relative_to(image_dir)
        size = image_size(image)
        builder.add_image(relative.as_posix(), size)
        stem = mask_dir / relative.with_suffix('')
        if rule == 'files':
            found = _from_files(stem, size, builder.classes)
        else:
            path = stem.with_name(f'{stem.name}{mask_suffix}.png')
            found = _from_ids(path, size, rule, builder, numbers, set(ignore))
        count = 0
        for item in found:
            count += 1
            label = label_index(item.label, builder.classes, item.name)
            builder.add(label, item.mask, item.name, item.is_crowd)
        if not count:
            builder.report.lose('no_labels', str(relative))
        if progress is not None:
            progress(done, len(images))
    builder.report.image_dir = str(image_dir)
    builder.write(target)
    return builder.report


def read_ids(path: Path, size: Optional[Size] = None) -> np.ndarray:
    """Read a PNG of one channel, as it is.

    Args:
        path: The file; 1, 8 or 16 bits, or a palette.
        size: (H, W) that it must have.

    Returns:
        (H, W) integers; a palette's indices.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, has more channels or another size.
    """
    if not path.is_file():
        raise FileNotFoundError(f'There is no mask {path}.')
    try:
        with Image.open(path) as image:
            mode = image.mode
            pixels = np.array(image)
    except Image.DecompressionBombError as error:
        raise ValueError(f'{path} is too large: {error}.') from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ValueError(f'{path} cannot be read as an image: {error}. It may '
                         'be cut off.') from error
    if mode not in _MODES:
        raise ValueError(f'{path} must have one channel of ids, 8 or 16 bits, '
                         f'got {mode}. Colours do not tell instances apart.')
    if size is not None and pixels.shape != tuple(size):
        raise ValueError(
            f'{path} must have the size of its image, {size[1]} x {size[0]} '
            f'px, got {pixels.shape[1]} x {pixels.shape[0]}.')
    return pixels


def _check_arguments(rule: str, classes: Sequence[str],
                     class_ids: Sequence[int]) -> Dict[int, str]:
    """Return the class of each number of the rule ``thousands``."""
    if rule not in RULES:
        raise ValueError(f'`rule` of png_to_coco must be one of {RULES}, got '
                         f'{rule!r}.')
    if rule == 'single' and len(classes) != 1:
        raise ValueError("`classes` must be one name for the rule 'single', "
                         f'got {list(classes)}.')
    if rule == 'thousands' and not classes:
        raise ValueError("`classes` must be given for the rule 'thousands'.")
    numbers = tuple(class_ids) or tuple(range(1, len(classes) + 1))
    if len(numbers) != len(classes) or len(set(numbers)) < len(numbers):
        raise ValueError('`class_ids` must be one number for each of the '
                         f'{len(classes)} classes, none twice, got '
                         f'{list(class_ids)}.')
    return dict(zip(numbers, classes))


def _found_classes(rule: str, images: Sequence[Path], image_dir: Path,
                   mask_dir: Path) -> Tuple[str, ...]:
    """Return the classes that sidecars or folders tell."""
    found: Dict[str, None] = {}
    for image in images:
        stem = mask_dir / image.relative_to(image_dir).with_suffix('')
        if rule == 'files':
            found.update(
                dict.fromkeys(f.name for f in stem.glob('*') if f.is_dir()))
            continue
        data = _sidecar(stem.with_name(f'{stem.name}.json'))
        names = data.get('classes')
        if names:
            return tuple(names)
        found.update(dict.fromkeys(i['label'] for i in data['instances']))
    return classes_or_found((), found)


def _from_files(folder: Path, size: Size,
                classes: Sequence[str]) -> Iterator[_Found]:
    files = sorted(folder.rglob('*.png'))
    if not files:
        raise FileNotFoundError(f'{folder} must be a folder of masks (*.png), '
                                'but has none.')
    for path in files:
        label = path.parent.name
        if path.parent == folder:
            if len(classes) > 1:
                raise ValueError(
                    f'{path} must lie in a folder of the name of its class, '
                    f'{folder}/<class>/, as there are {len(classes)} classes.')
            label = classes[0]
        yield _Found(str(path), label, read_ids(path, size) > 0)


def _from_ids(path: Path, size: Size, rule: str, builder: CocoBuilder,
              numbers: Dict[int, str], ignore: Any) -> Iterator[_Found]:
    ids = read_ids(path, size)
    sidecar = None
    if rule == 'sidecar':
        sidecar = _by_id(path.with_suffix('.json'))
    for value in np.unique(ids).tolist():
        name = f'{path}, id {value}'
        if value == 0 or value in ignore:
            continue
        if rule == 'thousands' and value < _THOUSAND:
            builder.report.lose('skipped', name)
            continue
        is_crowd = False
        if sidecar is not None:
            if value not in sidecar:
                raise ValueError(f'{name} must be listed in '
                                 f'{path.with_suffix(".json").name}, which '
                                 f'has {sorted(sidecar)[:10]}.')
            label = sidecar[value]['label']
            is_crowd = bool(sidecar[value].get('iscrowd'))
        elif rule == 'single':
            label = builder.classes[0]
        elif value // _THOUSAND in numbers:
            label = numbers[value // _THOUSAND]
        else:
            raise ValueError(
                f'{name}: its class, {value // _THOUSAND} (id // 1000), must '
                f'be one of {sorted(numbers)}.')
        yield _Found(name, label, ids == value, is_crowd)


def _sidecar(path: Path) -> Dict[str, Any]:
    data = read_json(path)
    items: Optional[List[Any]] = \
        data.get('instances') if isinstance(data, dict) else None
    if not isinstance(items, list) or not all(
            isinstance(item, dict) and isinstance(item.get('id'), int)
            and isinstance(item.get('label'), str) for item in items):
        raise ValueError(f'{path} must hold an object with the list '
                         '`instances` of objects with `id` and `label`.')
    return data


def _by_id(path: Path) -> Dict[int, Dict[str, Any]]:
    items = _sidecar(path)['instances']
    by_id = {item['id']: item for item in items}
    if len(by_id) < len(items):
        raise ValueError(f'{path}: the ids of `instances` must be unique.')
    return by_id
