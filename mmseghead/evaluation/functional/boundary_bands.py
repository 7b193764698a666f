"""Agreement of two masks, by distance from the outline.

Legend: H, W the image, K bands.
"""
from typing import List, Sequence

import cv2
import numpy as np

#: Ends of the bands, as shares of the image's diagonal; the last band is what
#: lies beyond.
BAND_ENDS = (0.01, 0.02, 0.05)


def band_names(ends: Sequence[float] = BAND_ENDS) -> List[str]:
    """Return the names of the K bands, such as ``1-2 %``."""
    marks = [f'{100 * end:g}' for end in (0, *ends)]
    names = [f'{one}-{two} %' for one, two in zip(marks, marks[1:])]
    return [*names, f'beyond {marks[-1]} %']


def outline_distance(mask: np.ndarray) -> np.ndarray:
    """Return each pixel's distance to the nearest one of the other side.

    What lies outside of the array counts as background, as in boundary AP.

    Args:
        mask: (H, W) bool, at least one pixel set.

    Returns:
        (H, W) float, pixels, at least 1 everywhere.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    inside, outside = (
        cv2.distanceTransform(side, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for side in (padded, 1 - padded))
    return np.where(padded, inside, outside)[1:-1, 1:-1]


def band_ious(truth: np.ndarray, mask: np.ndarray, diagonal: float,
              ends: Sequence[float] = BAND_ENDS) -> np.ndarray:
    """Compare a mask with the true one, band by band around its outline.

    A band holds the pixels on both sides of the true outline whose distance
    from it is within the band. The last one holds the interior of the object
    and what the mask covers far outside.

    Args:
        truth: (H, W) bool, at least one pixel set. An excerpt will do, if
            both masks lie in it.
        mask: (H, W) bool.
        diagonal: Of the image, in pixels.
        ends: Ends of the bands, ascending shares of the diagonal; none is
            less than a pixel.

    Returns:
        (K,), IoU of the masks within each band; NaN where neither of them
        has a pixel.
    """
    limits = np.maximum(np.asarray(ends) * diagonal, 1.0)
    # A pixel at a limit belongs to the inner band.
    band = np.searchsorted(limits, outline_distance(truth), side='left')
    count = len(limits) + 1
    both = np.bincount(band[truth & mask], minlength=count)
    either = np.bincount(band[truth | mask], minlength=count)
    with np.errstate(invalid='ignore'):
        return np.where(either > 0, both / np.maximum(either, 1), np.nan)
