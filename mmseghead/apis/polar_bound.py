"""What a data set's masks lose when they are written as rays.

Legend: N instances of an image, n rays, H/W height and width in pixels.
"""
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
from pycocotools.coco import COCO
from torch import Tensor

from mmseghead.functional import polar
from mmseghead.functional.contours import (fill_contours, mass_center,
                                           trace_contour)
from mmseghead.utils.files import atomic_write
from mmseghead.visualization.polar import draw_rays

CENTERS = ('mass centre', 'box centre')
_LONG_SIDE_PX = 1280  # smaller pictures are enlarged up to this


@dataclass(frozen=True)
class PolarBound:
    """Mean IoU of masks with what their rays enclose.

    Args:
        instances: Number of masks per class.
        ious: Centre -> number of rays -> class -> mean IoU.
    """

    instances: Mapping[str, int]
    ious: Mapping[str, Mapping[int, Mapping[str, float]]]

    def mean(self, center: str, num_rays: int) -> float:
        """Return the mean over all instances."""
        row = self.ious[center][num_rays]
        total = sum(self.instances.values())
        return sum(row[c] * self.instances[c] for c in row) / max(total, 1)


def polar_bound(ann_file: str,
                num_rays: Sequence[int],
                exact: bool = False,
                truncate: bool = True) -> PolarBound:
    """Encode each mask as rays, fill their polygon, compare.

    Holes and all but the largest component count as lost. Crowds are left
    out.

    Args:
        ann_file: COCO JSON.
        num_rays: Divisors of 360.
        exact: Cross rays with the contour's segments (``exact_rays`` of
            ``PolarCoder``) instead of the reference's rules.
        truncate: Cut the polygon's points to whole pixels, as the reference
            does, instead of rounding them.

    Returns:
        The means.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a number of rays is no divisor of 360.
    """
    bad = [n for n in num_rays if n < 3 or 360 % n]
    if bad:
        raise ValueError('`num_rays` of polar_bound must be divisors of 360 '
                         f'and at least 3, got {bad}.')
    coco = _load(ann_file)
    instances: Dict[str, int] = defaultdict(int)
    sums: Dict[Tuple[str, int, str], float] = defaultdict(float)
    for image_id in coco.imgs:
        masks, names = image_masks(coco, image_id)
        for name in names:
            instances[name] += 1
        for center in CENTERS:
            for n in num_rays:
                found = mask_overlaps(masks, n, center, exact, truncate)
                for name, iou in zip(names, found):
                    sums[center, n, name] += iou
    ious = {
        center: {
            n: {name: sums[center, n, name] / count
                for name, count in sorted(instances.items())}
            for n in num_rays
        }
        for center in CENTERS
    }
    return PolarBound(dict(sorted(instances.items())), ious)


def _load(ann_file: str) -> COCO:
    if not Path(ann_file).is_file():
        raise FileNotFoundError(f'There is no annotation file {ann_file}.')
    return COCO(ann_file)


def image_masks(coco: COCO, image_id: int) -> Tuple[List[np.ndarray],
                                                    List[str]]:
    """Return the (H, W) uint8 masks that have a pixel, and their classes."""
    masks, names = [], []
    for ann in coco.loadAnns(coco.getAnnIds(image_id, iscrowd=False)):
        mask = coco.annToMask(ann)
        if mask.any():
            masks.append(mask)
            names.append(coco.cats[ann['category_id']]['name'])
    return masks, names


def mask_rays(masks: Sequence[np.ndarray], num_rays: int, center: str,
              exact: bool) -> Tuple[Tensor, Tensor]:
    """Encode masks as rays and decode them.

    Args:
        masks: N masks (H, W), at least one, none empty.
        num_rays: n.
        center: One of ``CENTERS``.
        exact: As for ``polar_bound``.

    Returns:
        (N, 2) centres x, y and (N, 2, n) ends of the rays.
    """
    contours = [trace_contour(mask) for mask in masks]
    if center == CENTERS[0]:
        centers = [mass_center(contour) for contour in contours]
    else:
        centers = [tuple((c.min(0) + c.max(0)) // 2) for c in contours]
    points = torch.tensor(np.array(centers))
    joined = polar.join_contours([torch.from_numpy(c) for c in contours])
    measure = polar.exact_rays if exact else polar.bucket_rays
    rays = measure(points, joined, torch.arange(len(points)), num_rays)
    return points, polar.rays_to_points(points, rays, masks[0].shape)


def mask_overlaps(masks: Sequence[np.ndarray], num_rays: int, center: str,
                  exact: bool, truncate: bool) -> List[float]:
    """Return the IoU of each mask with what its rays enclose."""
    if not masks:
        return []
    _, ends = mask_rays(masks, num_rays, center, exact)
    ends = ends.trunc() if truncate else ends.round()
    overlaps = []
    for mask, end in zip(masks, ends):
        # One at a time: images of a crowd are large.
        filled = fill_contours(end[None], mask.shape)[0].numpy()
        union = np.count_nonzero(filled | (mask > 0))
        overlaps.append(np.count_nonzero(filled & (mask > 0)) / union)
    return overlaps


def draw_polar_targets(ann_file: str,
                       image_dir: str,
                       out_dir: str,
                       *,
                       num_rays: int = 36,
                       exact: bool = False,
                       num: Optional[int] = None) -> List[Path]:
    """Draw the rays of ground truth over its images.

    Args:
        ann_file: COCO JSON.
        image_dir: Folder of the images.
        out_dir: Folder for the pictures.
        num_rays: A divisor of 360.
        exact: As for ``polar_bound``.
        num: Draw that many images, evenly spread over the set; None: all.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: if annotations or an image are missing.
    """
    coco = _load(ann_file)
    image_ids = sorted(coco.imgs)
    if num is not None and num < len(image_ids):
        picks = np.linspace(0, len(image_ids) - 1, num).round().astype(int)
        image_ids = [image_ids[i] for i in picks]
    written = []
    for image_id in image_ids:
        path = Path(image_dir) / coco.imgs[image_id]['file_name']
        image = cv2.imread(str(path))
        if image is None:
            raise FileNotFoundError(f'{path} is missing or is no image.')
        masks, _ = image_masks(coco, image_id)
        scale = max(1, _LONG_SIDE_PX // max(image.shape[:2]))
        points, ends = np.zeros((0, 2)), np.zeros((0, 2, num_rays))
        if masks:
            points, ends = (value.numpy() for value in mask_rays(
                masks, num_rays, CENTERS[0], exact))
        _, encoded = cv2.imencode('.png', draw_rays(image, points, ends,
                                                    scale))
        out = Path(out_dir) / f'{path.stem}.png'
        with atomic_write(out, 'wb') as file:
            file.write(encoded.tobytes())
        written.append(out)
    return written
