"""From Cityscapes' fine annotations to COCO JSON, without its scripts.

Source of the label table and of the ids: mcordts/cityscapesScripts,
``helpers/labels.py`` and ``preparation/json2instanceImg.py``.
"""
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from PIL import Image, ImageDraw

from mmseghead.utils.files import PathLike
from ..coco_json import read_json
from .class_names import label_index
from .coco_builder import CocoBuilder
from .image_files import image_size
from .instances import Progress, Size
from .png_reader import read_ids
from .report import ConversionReport

#: Names of the classes that are evaluated, and their label ids.
CITYSCAPES_IDS = dict(
    person=24,
    rider=25,
    car=26,
    truck=27,
    bus=28,
    train=31,
    motorcycle=32,
    bicycle=33)
# Labels that hide what lies behind them and are no instance. "license plate"
# alone hides nothing.
_OTHERS = ('unlabeled', 'ego vehicle', 'rectification border', 'out of roi',
           'static', 'dynamic', 'ground', 'road', 'sidewalk', 'parking',
           'rail track', 'building', 'wall', 'fence', 'guard rail', 'bridge',
           'tunnel', 'pole', 'polegroup', 'traffic light', 'traffic sign',
           'vegetation', 'terrain', 'sky', 'caravan', 'trailer')
_UNSEEN = 'license plate'
_GROUP = 'group'
_THOUSAND = 1000


def cityscapes_to_coco(root: PathLike,
                       split: str,
                       target: Optional[PathLike] = None,
                       *,
                       source: str = 'png',
                       progress: Progress = None) -> ConversionReport:
    """Convert one split of ``gtFine``.

    Reads ``gtFine/<split>/<city>/*_gtFine_instanceIds.png``, or
    ``*_polygons.json``, painting later objects over earlier ones. Groups of
    objects become crowd regions. File names start from
    ``leftImg8bit/<split>/``, as the data set config wants.

    Args:
        root: Folder with ``gtFine`` and ``leftImg8bit``.
        split: ``train``, ``val`` or another folder of ``gtFine``.
        target: The COCO JSON; by default ``annotations/
            instancesonly_filtered_gtFine_<split>.json`` in ``root``.
        source: ``'png'`` or ``'polygons'``.
        progress: Called with (images done, images in all).

    Returns:
        Counts, and what was lost.

    Raises:
        FileNotFoundError: if folders, annotations or images are missing.
        ValueError: naming the file, if one is damaged or has another size
            than its image, or ``source`` is of another value.
    """
    endings = dict(png='instanceIds.png', polygons='polygons.json')
    if source not in endings:
        raise ValueError('`source` of cityscapes_to_coco must be one of '
                         f'{tuple(endings)}, got {source!r}.')
    root = Path(root)
    folder = root / 'gtFine' / split
    ending = f'_gtFine_{endings[source]}'
    paths = sorted(folder.glob(f'*/*{ending}'))
    if not paths:
        raise FileNotFoundError(f'{folder} must hold <city>/*{ending}, but '
                                f'{"has none" if folder.is_dir() else "is"}'
                                f'{"" if folder.is_dir() else " missing"}.')
    image_dir = root / 'leftImg8bit' / split
    builder = CocoBuilder(tuple(CITYSCAPES_IDS))
    for done, path in enumerate(paths, 1):
        name = path.name[:-len(ending)] + '_leftImg8bit.png'
        size = image_size(image_dir / path.parent.name / name)
        builder.add_image(f'{path.parent.name}/{name}', size)
        ids = read_ids(path, size) if source == 'png' else \
            paint_polygons(path, size)
        _add_instances(path, ids, builder)
        if progress is not None:
            progress(done, len(paths))
    builder.report.image_dir = str(image_dir)
    builder.write(target or root / 'annotations' /
                  f'instancesonly_filtered_gtFine_{split}.json')
    return builder.report


def _add_instances(path: Path, ids: np.ndarray, builder: CocoBuilder) -> None:
    classes = {number: name for name, number in CITYSCAPES_IDS.items()}
    count = 0
    for value in np.unique(ids).tolist():
        is_group = value < _THOUSAND
        name = classes.get(value if is_group else value // _THOUSAND)
        if name is None:
            continue
        label = builder.classes.index(name)
        count += builder.add(label, ids == value, f'{path}, id {value}',
                             is_group)
    if not count:
        builder.report.lose('no_labels', str(path))


def paint_polygons(path: Path, size: Size) -> np.ndarray:
    """Return the instance ids of a ``*_gtFine_polygons.json``.

    Args:
        path: The JSON.
        size: (H, W) of its image.

    Returns:
        (H, W) int32: ``label id * 1000 + n`` of the classes that are
        evaluated, the label id of their groups, 0 elsewhere.

    Raises:
        ValueError: naming file and object, if one is damaged.
    """
    data = read_json(path)
    objects = data.get('objects') if isinstance(data, dict) else None
    if not isinstance(objects, list):
        raise ValueError(f'{path} must hold an object with `objects`.')
    noted = data.get('imgHeight'), data.get('imgWidth')
    if noted != tuple(size):
        raise ValueError(f'{path} must be for an image of {size[1]} x '
                         f'{size[0]} px, but is for {noted[1]} x {noted[0]}.')
    canvas = Image.new('I', (size[1], size[0]), 0)
    draw = ImageDraw.Draw(canvas)
    counts: Dict[str, int] = {}
    for index, item in enumerate(objects):
        where = f'{path}: object {index}'
        if not isinstance(item, dict) or not isinstance(
                item.get('label'), str):
            raise ValueError(f'{where} must have a `label` and a `polygon`.')
        if item.get('deleted') or item['label'].startswith(_UNSEEN):
            continue
        draw.polygon(
            _points(item.get('polygon'), where),
            fill=_id_of(item['label'], counts, where))
    return np.array(canvas)


def _id_of(label: str, counts: Dict[str, int], where: str) -> int:
    if label in CITYSCAPES_IDS:
        number = counts.get(label, 0)
        counts[label] = number + 1
        return CITYSCAPES_IDS[label] * _THOUSAND + number
    single = label[:-len(_GROUP)] if label.endswith(_GROUP) else label
    if single in CITYSCAPES_IDS:
        return CITYSCAPES_IDS[single]
    label_index(single, (*_OTHERS, *CITYSCAPES_IDS), where)
    return 0


def _points(polygon: Any, where: str) -> List[Any]:
    is_good = isinstance(polygon, list) and len(polygon) >= 3 and all(
        isinstance(p, list) and len(p) == 2 and all(
            type(v) in (int, float) and np.isfinite(v) for v in p)
        for p in polygon)
    if not is_good:
        raise ValueError(f'{where}: `polygon` must be at least 3 pairs [x, y] '
                         'of finite numbers.')
    return [tuple(point) for point in polygon]
