"""Masks that are refined step by step, and where they were."""
from typing import List, Sequence, Tuple

import cv2
import numpy as np

from .instances import join_panels

#: BGR of the cells that a stage computed.
CELL_COLOR = (0, 140, 255)
_CELL_SHARE = 0.5  # opacity of a cell
_OUTLINE = (80, 255, 80)
_SIDE_PX = 224  # height of a panel
_WIDEST = 2.5  # width of a panel over its height, at most
_GAP_PX = 6


def draw_refinement(image: np.ndarray, box: Sequence[float],
                    stages: Sequence[Tuple[np.ndarray, np.ndarray]],
                    threshold: float = 0.5) -> np.ndarray:
    """Draw the stages of one mask from left to right.

    Above, the box of the image with the cells that the stage computed
    coloured and the outline of its mask; below, the probabilities.

    Args:
        image: (H, W, 3) uint8, BGR.
        box: x1, y1, x2, y2 in pixels of the image.
        stages: For each stage which of its (S, S) cells were computed, bool,
            and its (S, S) probabilities, 0 to 1. S may differ.
        threshold: A cell above this belongs to the mask.

    Returns:
        A picture (h, w, 3) uint8, BGR.

    Raises:
        ValueError: if there is no stage.
    """
    if not stages:
        raise ValueError('`stages` of draw_refinement must not be empty.')
    crop = _crop(image, box)
    columns: List[np.ndarray] = []
    titles: List[str] = []
    for active, probs in stages:
        size = crop.shape[1], crop.shape[0]
        large = cv2.resize(
            active.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        panel = crop.copy()
        cells = large.astype(bool)
        panel[cells] = ((1 - _CELL_SHARE) * panel[cells] +
                        _CELL_SHARE * np.array(CELL_COLOR)).astype(np.uint8)
        inside = cv2.resize((probs > threshold).astype(np.uint8), size,
                            interpolation=cv2.INTER_NEAREST)
        contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP,
                                       cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(panel, contours, -1, _OUTLINE, 1)
        grey = cv2.resize((255 * probs).astype(np.uint8), size,
                          interpolation=cv2.INTER_NEAREST)
        grey = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)
        gap = np.full((_GAP_PX, size[0], 3), 255, np.uint8)
        columns.append(np.vstack([panel, gap, grey]))
        titles.append(f'{len(probs)} x {len(probs)}: '
                      f'{active.mean():.0%}')
    return join_panels(columns, titles)


def _crop(image: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """Return the inside of a box, enlarged to the size of a panel."""
    x1, y1, x2, y2 = (float(value) for value in box)
    width, height = max(x2 - x1, 1e-3), max(y2 - y1, 1e-3)
    columns = round(_SIDE_PX * np.clip(width / height, 1 / _WIDEST, _WIDEST))
    # Pixel i of the panel shows the place of its middle; the middle of the
    # image's pixel i is i + 0.5 in coordinates of boxes.
    step_x, step_y = width / columns, height / _SIDE_PX
    matrix = np.array([[step_x, 0, x1 + step_x / 2 - 0.5],
                       [0, step_y, y1 + step_y / 2 - 0.5]])
    return cv2.warpAffine(
        image, matrix, (columns, _SIDE_PX),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE)


def stack_pictures(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Put pictures of any widths below each other, on white.

    Args:
        pictures: (H_i, W_i, 3) uint8, at least one.

    Returns:
        (sum H_i + gaps, max W_i, 3) uint8.

    Raises:
        ValueError: if there is no picture.
    """
    if not len(pictures):
        raise ValueError('`pictures` of stack_pictures must not be empty.')
    width = max(picture.shape[1] for picture in pictures)
    rows = [
        np.pad(picture,
               ((0, _GAP_PX), (0, width - picture.shape[1]), (0, 0)),
               constant_values=255) for picture in pictures
    ]
    return np.vstack(rows)[:-_GAP_PX]
