"""Small random ground truth and predictions in COCO JSON."""
from typing import Any, Dict, List, Tuple

import numpy as np
from pycocotools import mask as mask_api

SHAPE = (37, 52)  # height, width of all images


def encode(mask: np.ndarray) -> Dict[str, Any]:
    """Return a mask as RLE that JSON can hold.

    Args:
        mask: (H, W) bool.
    """
    rle = mask_api.encode(np.asfortranarray(mask, np.uint8))
    return dict(size=[int(n) for n in rle['size']],
                counts=rle['counts'].decode('ascii'))


def random_mask(rng: np.random.Generator) -> np.ndarray:
    """Return an ellipse of ``SHAPE`` with at least one pixel, maybe holed."""
    y, x = np.mgrid[:SHAPE[0], :SHAPE[1]]
    center = rng.uniform(0, SHAPE)
    radius = rng.uniform(1.5, 11, 2)
    distance = ((y - center[0]) / radius[0])**2 + (
        (x - center[1]) / radius[1])**2
    mask = distance <= 1
    if rng.random() < 0.3:
        mask &= distance >= 0.2
    if not mask.any():
        mask[int(center[0]), int(center[1])] = True
    return mask


def random_coco(seed: int, *, num_images: int = 5, crowds: bool = True,
                boxes: bool = False) -> Tuple[Dict, List[Dict]]:
    """Return annotations and predictions that partly agree.

    Args:
        seed: Of everything.
        num_images: At least 1; their ids are neither sorted nor contiguous.
        crowds: Whether some instances are crowds.
        boxes: Whether predictions have a ``bbox``.

    Returns:
        A COCO annotation dictionary with categories 2, 5 and 9, the last of
        which has no instances, and a list of results with distinct scores.
        Ids of annotations follow the order of the file.
    """
    rng = np.random.default_rng(seed)
    ids = [int(n) for n in rng.permutation(3 * num_images)[:num_images] + 1]
    annotations: List[Dict] = []
    results: List[Dict] = []
    for image_id in ids:
        for _ in range(rng.integers(0, 6)):
            mask = random_mask(rng)
            category = int(rng.choice([2, 5]))
            annotations.append(
                dict(id=len(annotations) + 1, image_id=image_id,
                     category_id=category, segmentation=encode(mask),
                     area=float(mask.sum() * rng.choice([1, 12, 60])),
                     bbox=_box(mask),
                     iscrowd=int(crowds and rng.random() < 0.12)))
            for _ in range(rng.integers(0, 4)):
                shifted = np.roll(mask, rng.integers(-2, 3, 2), (0, 1))
                other = rng.random() < 0.2
                results.append(
                    dict(image_id=image_id,
                         category_id=7 - category if other else category,
                         segmentation=encode(shifted)))
        for _ in range(rng.integers(0, 3)):
            results.append(
                dict(image_id=image_id, category_id=int(rng.choice([2, 5, 9])),
                     segmentation=encode(random_mask(rng))))
    scores = rng.permutation(len(results)) + 1
    for result, score in zip(results, scores):
        result['score'] = float(score / (len(results) + 1))
        if boxes:
            mask = mask_api.decode(result['segmentation'])
            result['bbox'] = [
                float(x + d) for x, d in zip(_box(mask), rng.random(4))]
    images = [dict(id=image_id, file_name=f'{image_id}.png', height=SHAPE[0],
                   width=SHAPE[1]) for image_id in ids]
    categories = [dict(id=n, name=name)
                  for n, name in ((5, 'five'), (2, 'two'), (9, 'nine'))]
    return dict(images=images, annotations=annotations,
                categories=categories), results


def _box(mask: np.ndarray) -> List[float]:
    rle = mask_api.encode(np.asfortranarray(mask, np.uint8))
    return mask_api.toBbox(rle).tolist()
