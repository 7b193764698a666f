"""Ground truth masks as tensors, and what dense heads learn from them.

Legend: n instances, H/W height and width of the masks in pixels, h/w those
of a feature map.
"""
import math
from typing import List, Sequence, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from torch import Tensor

# Masks are converted to floats in groups, to bound the memory of a crowd.
_CHUNK = 16


def masks_to_tensor(masks: Union[BitmapMasks, PolygonMasks, Tensor,
                                 np.ndarray], device: torch.device) -> Tensor:
    """Return instance masks as one (n, H, W) uint8 tensor.

    Args:
        masks: mmdet's masks, or an (n, H, W) tensor or array of 0 and 1.
        device: Where the tensor goes.

    Raises:
        TypeError: if ``masks`` is anything else.
    """
    if isinstance(masks, (BitmapMasks, PolygonMasks)):
        masks = masks.to_ndarray()
    if isinstance(masks, np.ndarray):
        masks = torch.from_numpy(np.ascontiguousarray(masks))
    if not isinstance(masks, Tensor):
        raise TypeError('`masks` must be BitmapMasks, PolygonMasks, a tensor '
                        f'or an array, got a {type(masks).__name__}.')
    return masks.to(device=device, dtype=torch.uint8)


def soft_mask_labels(masks: Tensor, strides: Sequence[int],
                     sizes: Sequence[Tuple[int, int]]) -> List[Tensor]:
    """Return the share of each feature map cell that an instance covers.

    Source: FCOSIS, section 3.3 (the segmentation label of a level).

    Args:
        masks: (n, H, W) uint8 or bool.
        strides: Stride of each level in pixels, ascending; each a multiple
            of the one before.
        sizes: (h, w) of each level's map. What of a cell lies beyond the
            mask counts as not covered.

    Returns:
        Per level (n, h, w) float32 in [0, 1]: the mean of the mask over the
        cell of stride x stride pixels.

    Raises:
        ValueError: if strides are not as stated.
    """
    for fine, coarse in zip(strides, strides[1:]):
        if coarse % fine or coarse < fine:
            raise ValueError('`strides` of soft_mask_labels must ascend, each '
                             f'a multiple of the one before, got {strides}.')
    parts = [
        _pooled(masks[i:i + _CHUNK], strides, sizes)
        for i in range(0, max(len(masks), 1), _CHUNK)
    ]
    return [torch.cat(level) for level in zip(*parts)]


def _pooled(masks: Tensor, strides: Sequence[int],
            sizes: Sequence[Tuple[int, int]]) -> List[Tensor]:
    """Pool level by level: each is the mean of the one before."""
    cells, stride, levels = masks.float(), 1, []
    for target, (height, width) in zip(strides, sizes):
        factor = target // stride
        # Cells with a part inside the image; the rest of them is empty.
        wanted = [factor * math.ceil(n / factor) for n in cells.shape[-2:]]
        cells = _fitted(cells, *wanted)
        if len(cells) and factor > 1:
            cells = F.avg_pool2d(cells[:, None], factor)[:, 0]
        elif factor > 1:
            cells = cells[:, ::factor, ::factor]
        stride = target
        levels.append(_fitted(cells, height, width))
    return levels


def _fitted(maps: Tensor, height: int, width: int) -> Tensor:
    """Pad with zeros or cut at the right and at the bottom."""
    maps = maps[:, :height, :width]
    missing = (0, width - maps.shape[2], 0, height - maps.shape[1])
    return F.pad(maps, missing) if any(missing) else maps


def mask_centers(masks: Tensor, boxes: Tensor) -> Tensor:
    """Return the centre of mass of each instance.

    Source: FCOSIS, section 3.2.1 (centre of mass regression).

    Args:
        masks: (n, H, W) uint8 or bool.
        boxes: (n, 4) x1, y1, x2, y2; the box's centre stands in where a mask
            is empty.

    Returns:
        (n, 2) float32 x, y in pixels; the centre of the pixel in column i is
        at i + 0.5.
    """
    number, height, width = masks.shape
    rows = masks.sum(2, dtype=torch.float32)  # (n, H) pixels in each row
    columns = masks.sum(1, dtype=torch.float32)
    area = rows.sum(1)
    xs = torch.arange(width, device=masks.device) + 0.5
    ys = torch.arange(height, device=masks.device) + 0.5
    sums = torch.stack(((columns * xs).sum(1), (rows * ys).sum(1)), 1)
    middle = (boxes[:, :2] + boxes[:, 2:]).float() / 2
    return torch.where((area > 0)[:, None],
                       sums / area.clamp(min=1)[:, None], middle)


def balancing_padding(foreground: Tensor, widths: Tensor,
                      heights: Tensor) -> Tensor:
    """Return by how much to enlarge boxes so that half of them is object.

    Source: FCOSIS, section 3.2.2: the p with
    ``foreground = (w + 2p) (h + 2p) / 2``.

    Args:
        foreground: (n,) number of object pixels in each box.
        widths: (n,) of the boxes in pixels.
        heights: (n,) likewise.

    Returns:
        (n,) whole pixels >= 0 to add on each side, rounded up; 0 where at
        most half of the box is object.
    """
    around = widths + heights
    missing = (widths * heights - 2 * foreground).clamp(max=0)
    padding = ((around**2 - 4 * missing).sqrt() - around) / 4
    # A hair is taken off, so that rounding errors do not add a pixel.
    return (padding - 1e-4).ceil().clamp(min=0)
