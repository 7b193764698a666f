"""Predictions drawn beside ground truth."""
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any, Dict, List, Optional

import cv2
import numpy as np
from mmengine.config import Config
from pycocotools.coco import COCO

from mmseghead.utils.files import atomic_write
from mmseghead.visualization.instances import draw_instances, join_panels

_LONG_SIDE_PX = 512  # smaller images are enlarged up to this


def draw_predictions(cfg: Config,
                     predictions: str,
                     out_dir: str,
                     *,
                     num: Optional[int] = None,
                     score_thr: float = 0.3) -> List[Path]:
    """Draw the images of a config's test set with masks on them.

    Args:
        cfg: Its ``test_dataloader`` names images and annotations.
        predictions: COCO results of instance segmentation
            (``*.segm.json``), of any toolbox.
        out_dir: Folder for the pictures, ground truth left and predictions
            right.
        num: Draw that many images, evenly spread over the set; None: all.
        score_thr: Predictions below are left out.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: if predictions, annotations or an image are
            missing.
        ValueError: if the predictions are no list of COCO results with
            masks, or name images the set lacks.
    """
    dataset = cfg.test_dataloader.dataset
    root = dataset.get('data_root') or ''
    ann_file = os.path.join(root, dataset.ann_file)
    folder = os.path.join(root, dataset.data_prefix.img)
    coco = COCO(ann_file)
    by_image = _read_predictions(predictions, set(coco.imgs))
    image_ids = sorted(coco.imgs)
    if num is not None and num < len(image_ids):
        picks = np.linspace(0, len(image_ids) - 1, num).round().astype(int)
        image_ids = [image_ids[i] for i in picks]
    written = []
    for image_id in image_ids:
        kept = [p for p in by_image[image_id] if p['score'] >= score_thr]
        picture = _picture(coco, image_id, kept, folder)
        name = Path(coco.imgs[image_id]['file_name']).stem
        path = Path(out_dir) / f'{name}.png'
        ok, encoded = cv2.imencode('.png', picture)
        if not ok:
            raise RuntimeError(f'OpenCV could not encode {path}.')
        with atomic_write(path, 'wb') as file:
            file.write(encoded.tobytes())
        written.append(path)
    return written


def _read_predictions(path: str, image_ids: set) -> Dict[int, List[dict]]:
    with open(path) as file:
        results: Any = json.load(file)
    if not isinstance(results, list) or any(
            'segmentation' not in result for result in results):
        raise ValueError(f'{path} must be a list of COCO results with '
                         '`segmentation`; is it the .bbox.json?')
    by_image: Dict[int, List[dict]] = defaultdict(list)
    for result in results:
        by_image[result['image_id']].append(result)
    unknown = sorted(set(by_image) - image_ids)
    if unknown:
        raise ValueError(
            f'{path} has predictions for images that the annotations lack, '
            f'such as {unknown[:3]}; it belongs to another data set.')
    return by_image


def _picture(coco: COCO, image_id: int, predictions: List[dict],
             folder: str) -> np.ndarray:
    info = coco.imgs[image_id]
    path = os.path.join(folder, info['file_name'])
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(f'{path} is missing or no image.')
    truth = coco.loadAnns(coco.getAnnIds(imgIds=image_id, iscrowd=False))
    # Weak predictions first, so that sure ones lie on top.
    predictions = sorted(predictions, key=lambda p: p['score'])
    several = len(coco.cats) > 1
    scale = max(_LONG_SIDE_PX // max(image.shape[:2]), 1)
    panels = []
    for entries in (truth, predictions):
        masks = [coco.annToMask(entry).astype(bool) for entry in entries]
        names = [_caption(coco, entry) for entry in entries]
        stack = np.stack(masks) if masks else np.zeros(
            (0, *image.shape[:2]), bool)
        panels.append(
            draw_instances(image, stack, names if several else None, scale))
    titles = [
        f'ground truth: {len(truth)}', f'predicted: {len(predictions)}'
    ]
    return join_panels(panels, titles)


def _caption(coco: COCO, entry: dict) -> str:
    name = coco.cats[entry['category_id']]['name']
    return f'{name} {entry["score"]:.2f}' if 'score' in entry else name
