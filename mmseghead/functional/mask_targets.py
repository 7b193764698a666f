"""What mask heads learn from: masks cut out of boxes, at several sizes.

Legend: N RoIs, B images, S side of a map in cells, H/W of an image.
"""
from typing import List, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks, PolygonMasks, mask_target
from mmengine.config import ConfigDict
from torch import Tensor

from .box_masks import mask_coverage


def resized_mask_targets(boxes: Sequence[Tensor], inds: Sequence[Tensor],
                         masks: Sequence, sizes: Sequence[int]
                         ) -> List[Tensor]:
    """Cut masks out of boxes at each size on its own, as mmdet does.

    Polygons are rasterised once per size, bitmaps resized by RoIAlign and
    cut at one half.

    Args:
        boxes: Of each image (n, 4) in pixels; parts outside are cut off.
        inds: Of each image (n,) int64, which mask each box cuts.
        masks: Of each image ``BitmapMasks`` or ``PolygonMasks``.
        sizes: Sides S.

    Returns:
        A (N, S, S) float32 map of 0 and 1 for each size, RoIs of all images
        in a row.
    """
    # mmdet cuts the boxes off in place.
    boxes = [image.detach().clone() for image in boxes]
    targets = []
    for size in sizes:
        maps = mask_target(boxes, inds, masks, ConfigDict(mask_size=size))
        targets.append(maps.float())
    return targets


def pooled_mask_targets(boxes: Sequence[Tensor], inds: Sequence[Tensor],
                        masks: Sequence, sizes: Sequence[int]) -> List[Tensor]:
    """Cut masks out of boxes at the largest size and pool them to the others.

    A cell belongs to the mask if half of it or more is covered. At the
    largest size this equals `resized_mask_targets`; the others agree with it
    up to cells that are covered by about a half, and agree with each other.

    Args:
        boxes: Of each image (n, 4) in pixels; parts outside are cut off.
        inds: Of each image (n,) int64, which mask each box cuts.
        masks: Of each image ``BitmapMasks`` or ``PolygonMasks``.
        sizes: Sides S; each divides the largest.

    Returns:
        As `resized_mask_targets`.

    Raises:
        ValueError: if a size does not divide the largest one.
    """
    largest = max(sizes)
    if any(largest % size for size in sizes):
        raise ValueError('`sizes` of pooled_mask_targets must divide the '
                         f'largest one, got {tuple(sizes)}.')
    covered = torch.cat([
        _coverage(*image, largest) for image in zip(boxes, inds, masks)
    ])[:, None]
    targets = []
    for size in sizes:
        step = largest // size
        # avg_pool2d takes no empty batch on every version.
        maps = F.avg_pool2d(covered, step) if len(covered) else \
            covered.new_zeros(0, 1, size, size)
        targets.append((maps[:, 0] >= 0.5).float())
    return targets


def _coverage(boxes: Tensor, inds: Tensor, masks, size: int) -> Tensor:
    """Return how much of each cell is covered, (n, S, S) from 0 to 1."""
    limits = boxes.new_tensor([masks.width, masks.height] * 2)
    boxes = torch.minimum(boxes.detach().clamp(min=0), limits)
    if not len(boxes):
        return boxes.new_zeros((0, size, size), dtype=torch.float32)
    if isinstance(masks, PolygonMasks):
        cut = masks.crop_and_resize(boxes.cpu().numpy(), (size, size),
                                    inds.cpu().numpy())
        maps = np.ascontiguousarray(cut.to_ndarray())
        return torch.from_numpy(maps).to(boxes.device, torch.float32)
    return mask_coverage(
        masks.to_tensor(torch.float32, boxes.device), inds, boxes, size)


def union_mask_targets(masks: Sequence, size: Sequence[int],
                       stride: int, device: torch.device) -> Tensor:
    """Return where any object of an image is, at the size of a feature map.

    Args:
        masks: Of each image ``BitmapMasks`` or ``PolygonMasks`` at network
            resolution; images may differ in size, and hold no object.
        size: (h, w) of the feature map.
        stride: Pixels per cell.
        device: Of the result.

    Returns:
        (B, 1, h, w) float32 of 0 and 1; 0 where an image is padded.

    Source: RefineMask, arXiv:2104.08569. Differs: images are padded to the
    map's own extent, not to the largest image, which would stretch the union
    where the two differ.
    """
    height, width = size[0] * stride, size[1] * stride
    unions = torch.zeros(len(masks), 1, height, width)
    for union, image in zip(unions, masks):
        if len(image):
            whole = image if isinstance(image, BitmapMasks) \
                else image.to_bitmap()
            flat = torch.from_numpy(whole.masks.max(0))[:height, :width]
            union[0, :flat.shape[0], :flat.shape[1]] = flat.float()
    maps = F.interpolate(
        unions.to(device), tuple(size), mode='bilinear', align_corners=False)
    return (maps >= 0.5).float()
