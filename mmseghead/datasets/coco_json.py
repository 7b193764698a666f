"""Writing COCO JSON from masks."""
from typing import Any, Dict

import numpy as np
from pycocotools import mask as mask_api


def mask_to_annotation(mask: np.ndarray) -> Dict[str, Any]:
    """Return ``segmentation``, ``area`` and ``bbox`` of a mask.

    Args:
        mask: (H, W) bool, at least one pixel set.

    Returns:
        COCO fields: compressed RLE with ``counts`` as a string, holes kept,
        area in pixels, box [x, y, w, h] of the pixels, all exact.
    """
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(
        segmentation=dict(
            size=[int(n) for n in rle['size']],
            counts=rle['counts'].decode('ascii')),
        area=int(mask_api.area(rle)),
        bbox=[int(n) for n in mask_api.toBbox(rle)])
