"""Small COCO files, written to disk and read back as masks."""
import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
from pycocotools import mask as mask_api

from mmseghead.datasets.coco_json import mask_to_annotation

Size = Tuple[int, int]


class Object(NamedTuple):
    """An instance: class index, (H, W) bool, and whether it is a crowd."""

    label: int
    mask: np.ndarray
    is_crowd: bool = False


def random_objects(seed: int,
                   size: Size,
                   count: int,
                   num_classes: int = 3,
                   overlap: bool = True) -> List[Object]:
    """Return objects with holes, several parts, and some of one pixel.

    Args:
        seed: Of the random numbers.
        size: (H, W).
        count: How many to draw.
        num_classes: The upper bound of labels.
        overlap: Whether masks may overlap; if not, there may be fewer.

    Returns:
        Objects, each with a pixel at least.
    """
    rng = np.random.default_rng(seed)
    taken = np.zeros(size, dtype=bool)
    objects = []
    for index in range(count):
        mask = np.zeros(size, dtype=bool)
        for _ in range(int(rng.integers(1, 4))):
            top, left = (int(rng.integers(0, n)) for n in size)
            height, width = (int(n) for n in rng.integers(1, 9, 2))
            part = mask[top:top + height, left:left + width]
            part[...] = rng.random(part.shape) < rng.choice([0.5, 0.8, 1.0])
        if index % 5 == 4:
            mask[...] = False
        mask[tuple(int(rng.integers(0, n)) for n in size)] = True
        if not overlap:
            mask &= ~taken
            taken |= mask
        if mask.any():
            objects.append(Object(int(rng.integers(num_classes)), mask))
    return objects


def write_coco(folder: Path,
               images: Dict[str, Tuple[Size, Sequence[Object]]],
               classes: Sequence[str] = ('bolt', 'nut', 'screw')) -> Path:
    """Write grey pictures to ``folder/images`` and ``folder/ann.json``.

    Args:
        folder: The folder to make.
        images: Size and objects by file name.
        classes: Names; ids are 1 to n.

    Returns:
        The path of the JSON; objects are RLE.
    """
    entries: List[Dict[str, Any]] = []
    annotations: List[Dict[str, Any]] = []
    for image_id, (name, (size, objects)) in enumerate(images.items(), 1):
        path = folder / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full(size, 90, np.uint8))
        entries.append(
            dict(id=image_id, file_name=name, height=size[0], width=size[1]))
        for item in objects:
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=item.label + 1,
                    iscrowd=int(item.is_crowd),
                    **mask_to_annotation(item.mask)))
    path = folder / 'ann.json'
    path.write_text(
        json.dumps(
            dict(
                images=entries,
                annotations=annotations,
                categories=[
                    dict(id=i, name=name) for i, name in enumerate(classes, 1)
                ])))
    return path


def read_objects(path: Path) -> Dict[str, List[Object]]:
    """Read a COCO JSON back as masks.

    Args:
        path: The JSON; polygons are filled as pycocotools does.

    Returns:
        The objects of each image, by file name, in the order of the file;
        labels are indices into its categories.
    """
    data = json.loads(Path(path).read_text())
    labels = {item['id']: i for i, item in enumerate(data['categories'])}
    images = {image['id']: image for image in data['images']}
    found: Dict[str, List[Object]] = {
        image['file_name']: []
        for image in data['images']
    }
    for item in data['annotations']:
        image = images[item['image_id']]
        rle = item['segmentation']
        if isinstance(rle, list):
            rle = mask_api.merge(
                mask_api.frPyObjects(rle, image['height'], image['width']))
        found[image['file_name']].append(
            Object(labels[item['category_id']],
                   mask_api.decode(rle).astype(bool),
                   bool(item.get('iscrowd'))))
    return found


def same_objects(a: Sequence[Object], b: Sequence[Object]) -> bool:
    """Return whether two lists hold the same objects in the same order."""
    return len(a) == len(b) and all(
        x.label == y.label and x.is_crowd == y.is_crowd
        and np.array_equal(x.mask, y.mask) for x, y in zip(a, b))
