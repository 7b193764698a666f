"""The same images with every method's masks, kept in ``docs/gallery/images``.

A picture's name holds the first digits of its weights' hash, so that one is
drawn when, and only when, weights are published.
"""
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

import cv2
import numpy as np
import torch
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from mmseghead.functional.mask_rle import decoded
from mmseghead.utils import atomic_write
from mmseghead.visualization.instances import draw_instances, instance_color
from .gallery import DATASETS, GalleryModel
from .model_index import ModelIndex, find_weights
from .predictor import Predictor
from .train import load_config

FOLDER = Path('docs', 'gallery', 'images')
_LIST = 'images.json'
_SIDE_PX = 384  # long side of a picture
_QUALITY = 80  # of WebP
_GRID = 28  # cells along a side of Mask R-CNN's masks
#: What covers no object is drawn in this (BGR).
_GREY = (150, 150, 150)
#: An instance belongs to an object if their IoU is at least this.
_SAME_OBJECT = 0.1


class Scene(NamedTuple):
    """An image of the gallery."""

    stem: str  #: of its file
    objects: int


def pick_images(annotations: Mapping[str, Any],
                count: int = 3) -> List[Dict[str, Any]]:
    """Choose images of a data set by a rule that knows no model.

    With several classes, the first ones of those that show the most classes;
    with one, those that stand at equal steps in the order of their number of
    objects: of three images, at a quarter, a half and three quarters.

    Args:
        annotations: Content of a COCO file.
        count: How many.

    Returns:
        Entries of ``images``.

    Raises:
        ValueError: if there are fewer images.
    """
    images = sorted(annotations['images'], key=lambda image: image['id'])
    if len(images) < count:
        raise ValueError(f'`count` of pick_images must be at most the number '
                         f'of images, {len(images)}, got {count}.')
    classes: Dict[int, set] = {image['id']: set() for image in images}
    objects: Dict[int, int] = dict.fromkeys(classes, 0)
    for item in annotations['annotations']:
        classes[item['image_id']].add(item['category_id'])
        objects[item['image_id']] += 1
    if len(annotations['categories']) > 1:
        images.sort(key=lambda image: -len(classes[image['id']]))
        return images[:count]
    images.sort(key=lambda image: objects[image['id']])
    steps = [(i + 1) * len(images) // (count + 1) for i in range(count)]
    return [images[i] for i in steps]


def scenes(root: Path) -> Dict[str, List[Scene]]:
    """Return the images of which there are pictures, by data set."""
    path = root / FOLDER / _LIST
    content = json.loads(path.read_text()) if path.is_file() else {}
    return {
        dataset: [Scene(**item)
                  for item in content.get(dataset, {}).get('scenes', [])]
        for dataset in DATASETS
    }


def object_sizes(root: Path) -> Dict[str, Dict[str, float]]:
    """Return how large the objects of the validation images are.

    Returns:
        Data set -> ``median`` of the boxes' longer sides in pixels, and the
        share of them ``above_grid``, longer than the 28 cells of Mask R-CNN's
        masks; nothing for a data set of which there are no pictures.
    """
    path = root / FOLDER / _LIST
    content = json.loads(path.read_text()) if path.is_file() else {}
    return {name: content.get(name, {}).get('objects', {})
            for name in DATASETS}


def image_file(root: Path, dataset: str, scene: Scene) -> Path:
    """Return where the image itself lies."""
    return root / FOLDER / f'{dataset}.{scene.stem}.image.webp'


def truth_file(root: Path, dataset: str, scene: Scene) -> Path:
    """Return where the picture of an image's ground truth lies."""
    return root / FOLDER / f'{dataset}.{scene.stem}.truth.webp'


def picture_file(root: Path, model: GalleryModel, scene: Scene) -> Path:
    """Return where the picture of a model's predictions lies.

    The name is that of the published weights; there is none without them.
    """
    weights = Path(model.entry.weights_file).stem or f'{model.name}-none'
    return root / FOLDER / f'{weights}.{scene.stem}.webp'


def missing_pictures(root: Path,
                     models: Sequence[GalleryModel]) -> List[GalleryModel]:
    """Return the published models that have no pictures of their weights."""
    there = scenes(root)
    return [
        model for model in models if model.entry.sha256 and not (
            there[model.dataset] and all(
                picture_file(root, model, scene).is_file()
                for scene in there[model.dataset]))
    ]


def draw_pictures(index: ModelIndex, models: Sequence[GalleryModel],
                  device: str = 'cpu') -> Dict[str, str]:
    """Draw the pictures that are missing, and remove those of old weights.

    Args:
        index: The index.
        models: Of these models.
        device: To predict on.

    Returns:
        Model -> why it could not be drawn: no weights or no data here.
    """
    failures = {}
    for model in missing_pictures(index.root, models):
        try:
            _draw_model(index, model, device)
        except (FileNotFoundError, ValueError) as error:
            failures[model.name] = str(error).splitlines()[0]
        else:
            print(f'drawn: {model.name}', flush=True)
    return failures


def _draw_model(index: ModelIndex, model: GalleryModel, device: str) -> None:
    root = index.root
    weights = find_weights(model.name, root)
    cfg = load_config(str(root / model.entry.config))
    data = cfg.test_dataloader.dataset
    folder = root / (data.data_root or '')
    coco = COCO(os.path.join(folder, data.ann_file))
    picked = pick_images(coco.dataset)
    images = [_read(folder / data.data_prefix.img / info['file_name'])
              for info in picked]
    predictor = Predictor(cfg, str(weights), device=device)
    found = []
    for info, image in zip(picked, images):
        truth = coco.loadAnns(coco.getAnnIds(info['id'], iscrowd=False))
        masks = np.stack([coco.annToMask(item) for item in truth]) > 0
        scene = Scene(Path(info['file_name']).stem, len(truth))
        found.append(scene)
        colors = [instance_color(i) for i in range(len(truth))]
        _write(image_file(root, model.dataset, scene), image)
        # Without colours of its own those of the masks are seen.
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        grey = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
        _write(truth_file(root, model.dataset, scene),
               draw_instances(grey, masks, None, 2, colors))
        instances = predictor([image])[0]
        _write(picture_file(root, model, scene),
               _predictions(instances, grey, masks, model.masks))
    _list_images(root, model.dataset, found, coco)
    new = {picture_file(root, model, scene) for scene in found}
    for picture in (root / FOLDER).glob(f'{model.name}-????????.*.webp'):
        if picture not in new:
            picture.unlink()


def _list_images(root: Path, dataset: str, found: Sequence[Scene],
                 coco: COCO) -> None:
    """Note which images there are pictures of, and how large objects are."""
    path = root / FOLDER / _LIST
    content = json.loads(path.read_text()) if path.is_file() else {}
    sides = np.array([max(item['bbox'][2:])
                      for item in coco.dataset['annotations']])
    content[dataset] = dict(
        scenes=[scene._asdict() for scene in found],
        objects=dict(median=round(float(np.median(sides)), 1),
                     above_grid=round(float((sides > _GRID).mean()), 3)))
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=1, sort_keys=True) + '\n')


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f'{path} is missing or no image.')
    return image


def _predictions(instances: InstanceData, image: np.ndarray,
                 truth: np.ndarray, with_masks: bool) -> np.ndarray:
    """Draw as many instances as there are objects, the surest ones."""
    order = torch.argsort(instances.scores, descending=True, stable=True)
    # The least sure first, so that sure ones lie on top.
    chosen = instances[order[:len(truth)].flip(0)]
    if with_masks:
        masks = np.zeros((0, *image.shape[:2]), bool)
        if len(chosen):
            masks = np.stack(list(decoded(chosen.masks))).astype(bool)
        return draw_instances(image, masks, None, 2,
                              colors_of(masks, truth))
    boxes = chosen.bboxes.numpy().round().astype(int)
    filled = np.zeros((len(boxes), *image.shape[:2]), bool)
    for mask, (left, top, right, bottom) in zip(filled, boxes):
        mask[max(top, 0):bottom, max(left, 0):right] = True
    canvas = draw_instances(image, filled[:0], None, 2)
    for box, color in zip(2 * boxes, colors_of(filled, _boxed(truth))):
        cv2.rectangle(canvas, tuple(map(int, box[:2])),
                      tuple(map(int, box[2:])), color, 2, cv2.LINE_AA)
    return canvas


def _boxed(masks: np.ndarray) -> np.ndarray:
    """Return masks filled up to their boxes."""
    return (masks.any(1)[:, None] & masks.any(2)[..., None])


def colors_of(masks: np.ndarray,
              truth: np.ndarray) -> List[Tuple[int, int, int]]:
    """Return the colour of the object that each mask overlaps most.

    Args:
        masks: (N, H, W) bool.
        truth: (M, H, W) bool, the objects, coloured by their index.

    Returns:
        N BGR colours; grey for a mask that covers none.
    """
    if not len(truth):
        return [_GREY] * len(masks)
    area = masks.shape[1] * masks.shape[2]
    flat = masks.reshape(len(masks), area).astype(np.float32)
    objects = truth.reshape(len(truth), area).astype(np.float32)
    common = flat @ objects.T  # (N, M)
    union = flat.sum(1)[:, None] + objects.sum(1)[None] - common
    iou = common / np.maximum(union, 1)
    return [
        instance_color(int(row.argmax())) if row.max() >= _SAME_OBJECT
        else _GREY for row in iou
    ]


def _write(path: Path, picture: np.ndarray) -> None:
    scale = _SIDE_PX / max(picture.shape[:2])
    small = cv2.resize(picture, None, fx=scale, fy=scale,
                       interpolation=cv2.INTER_AREA)
    done, encoded = cv2.imencode('.webp', small,
                                 [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not done:
        raise RuntimeError(f'OpenCV could not encode {path}.')
    with atomic_write(path, 'wb') as file:
        file.write(encoded.tobytes())
