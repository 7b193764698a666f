"""Instances of one image, on their way from one format to another.

A segmentation is what COCO allows: polygons ``[[x1, y1, x2, ...], ...]``, of
which the union counts, or an RLE.
"""
from pathlib import Path
from typing import (Any, Callable, Dict, List, NamedTuple, Optional, Sequence,
                    Tuple, Union)

import numpy as np
from pycocotools import mask as mask_api

from mmseghead.utils.files import PathLike
from ..coco_checks import segmentation_problems
from ..coco_json import read_coco, read_coco_results

Size = Tuple[int, int]
Progress = Optional[Callable[[int, int], None]]
Masks = Sequence[Union[np.ndarray, Dict[str, Any], List[List[float]]]]


class Instance(NamedTuple):
    """One object: its class's index, its segmentation, and what is known.

    ``name`` tells where it comes from, for reports.
    """

    label: int
    segmentation: Union[Dict[str, Any], List[List[float]]]
    score: Optional[float] = None
    is_crowd: bool = False
    name: str = ''


class ImageInstances(NamedTuple):
    """One image of a COCO file: the entry of ``images``, and its objects."""

    info: Dict[str, Any]
    instances: List[Instance]

    @property
    def size(self) -> Size:
        return self.info['height'], self.info['width']


class CocoContent(NamedTuple):
    """Class names in the order of the file's categories, and all images."""

    classes: Tuple[str, ...]
    images: List[ImageInstances]


def to_rle(segmentation: Any, size: Size) -> Dict[str, Any]:
    """Return a segmentation as a compressed RLE, as pycocotools fills it.

    Args:
        segmentation: Polygons, or a compressed or uncompressed RLE.
        size: (H, W) of the image.

    Returns:
        ``size`` and ``counts``, bytes.
    """
    if isinstance(segmentation, dict):
        if isinstance(segmentation['counts'], list):
            return mask_api.frPyObjects(segmentation, *size)
        return segmentation
    if not segmentation:
        return mask_api.encode(np.zeros(size, np.uint8, order='F'))
    return mask_api.merge(mask_api.frPyObjects(segmentation, *size))


def to_mask(segmentation: Any, size: Size) -> np.ndarray:
    """Return a segmentation as (H, W) bool; arguments as for ``to_rle``."""
    return mask_api.decode(to_rle(segmentation, size)).astype(bool)


def mask_iou(a: Dict[str, Any], b: Dict[str, Any]) -> float:
    """Return the IoU of two RLEs of one size; 1.0 if both are empty."""
    if not mask_api.area(a) and not mask_api.area(b):
        return 1.0
    return float(mask_api.iou([a], [b], [0])[0, 0])


def instances_of(masks: Masks, labels: Sequence[int],
                 scores: Optional[Sequence[float]], size: Size,
                 num_classes: int) -> List[Instance]:
    """Return instances of masks in memory.

    Args:
        masks: N masks, each an (H, W) bool array, an RLE or polygons.
        labels: N indices of classes.
        scores: N confidences, or None.
        size: (H, W) of the image.
        num_classes: The upper bound of labels.

    Returns:
        N instances, named by their index.

    Raises:
        ValueError: if the lengths differ, a label is out of range, or a
            mask has another size or is damaged.
    """
    counts = {len(masks), len(labels)}
    counts |= set() if scores is None else {len(scores)}
    if len(counts) > 1:
        raise ValueError('`masks`, `labels` and `scores` must have the same '
                         f'length, got {len(masks)}, {len(labels)} and '
                         f'{"none" if scores is None else len(scores)}.')
    instances = []
    for index, (mask, label) in enumerate(zip(masks, labels)):
        name = f'instance {index}'
        if not 0 <= int(label) < num_classes:
            raise ValueError(f'`labels` must be from 0 to {num_classes - 1}, '
                             f'got {label} at index {index}.')
        if isinstance(mask, np.ndarray):
            if mask.shape != tuple(size):
                raise ValueError(
                    f'`masks` must have the size (H, W) of the image, '
                    f'{tuple(size)}, got {mask.shape} at index {index}.')
            mask = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
        else:
            for problem in segmentation_problems(name, mask, tuple(size)):
                if problem.severity == 'error':
                    raise ValueError(problem.message)
        score = None if scores is None else float(scores[index])
        instances.append(Instance(int(label), mask, score, name=name))
    return instances


def read_instances(ann_file: PathLike,
                   results: Optional[PathLike] = None,
                   score_thr: float = 0.0) -> CocoContent:
    """Read a COCO annotation file, or predictions for its images.

    Args:
        ann_file: The annotation file, checked by ``read_coco``.
        results: Predictions in COCO's results format; take these instead of
            the annotations.
        score_thr: Leave predictions of a lower score out.

    Returns:
        All images, those without instances too, in the order of the file;
        predictions by falling score.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if a file has errors.
    """
    data = read_coco(ann_file)
    labels = {item['id']: i for i, item in enumerate(data['categories'])}
    by_image: Dict[int, List[Instance]] = {
        image['id']: []
        for image in data['images']
    }
    if results is None:
        for item in data['annotations']:
            by_image[item['image_id']].append(
                Instance(
                    labels[item['category_id']],
                    item['segmentation'],
                    is_crowd=bool(item.get('iscrowd')),
                    name=f'annotation {item["id"]}'))
    else:
        for index, item in enumerate(read_coco_results(results, data)):
            if item['score'] >= score_thr:
                by_image[item['image_id']].append(
                    Instance(
                        labels[item['category_id']],
                        item['segmentation'],
                        score=float(item['score']),
                        name=f'prediction {index}'))
        for members in by_image.values():
            members.sort(key=lambda instance: -instance.score)
    return CocoContent(
        tuple(item['name'] for item in data['categories']), [
            ImageInstances(_named(image), by_image[image['id']])
            for image in data['images']
        ])


def _named(image: Dict[str, Any]) -> Dict[str, Any]:
    """Return an image's entry with a ``file_name``; LVIS has only a URL."""
    if image.get('file_name'):
        return image
    return dict(image, file_name=Path(image['coco_url']).name)


def output_names(images: Sequence[ImageInstances], suffix: str) -> List[Path]:
    """Return a path for each image: its file name with another suffix.

    Args:
        images: The images.
        suffix: The new suffix, such as ``'.json'``.

    Returns:
        Relative paths, folders of the file names kept.

    Raises:
        ValueError: if two images would share a path, or one would lie outside
            of the folder.
    """
    taken: Dict[Path, str] = {}
    names = []
    for image in images:
        file_name = image.info['file_name']
        path = Path(file_name).with_suffix(suffix)
        if path.is_absolute() or '..' in path.parts:
            raise ValueError(
                f'`file_name` of image {image.info["id"]} must lie below the '
                f'image folder, got {file_name!r}.')
        if path in taken:
            raise ValueError(
                f'The images {taken[path]!r} and {file_name!r} would both be '
                f'written to {path}; rename one of them.')
        taken[path] = file_name
        names.append(path)
    return names
