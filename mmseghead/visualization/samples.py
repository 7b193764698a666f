"""What a pipeline feeds to a model, drawn.

Legend: N instances, M ignored ones, H, W the image.
"""
from typing import List, NamedTuple, Optional, Sequence

import cv2
import numpy as np

from .instances import draw_instances, instance_color

_IGNORED = (150, 150, 150)  # BGR
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GAP_PX = 6


class Sample(NamedTuple):
    """One sample, all in the pixels of ``image``.

    Args:
        image: (H, W, 3) uint8, BGR.
        boxes: (N + M, 4) x1, y1, x2, y2, the ignored ones last.
        masks: (N + M, H, W) bool, or None if the sample has none.
        captions: N + M texts, some may be empty.
        num_ignored: M.
        title: What it is.
    """
    image: np.ndarray
    boxes: np.ndarray
    masks: Optional[np.ndarray]
    captions: Sequence[str]
    num_ignored: int
    title: str


def draw_sample(sample: Sample, scale: int = 1,
                with_boxes: bool = True) -> np.ndarray:
    """Draw masks and boxes; ignored instances are grey.

    Args:
        sample: The sample.
        scale: Enlargement, at least 1.
        with_boxes: Whether to draw the boxes too. Without masks they are
            drawn in any case.

    Returns:
        (H * scale, W * scale, 3) uint8, BGR.
    """
    count = len(sample.boxes)
    colors = [instance_color(i) for i in range(count - sample.num_ignored)]
    colors += [_IGNORED] * sample.num_ignored
    masks = sample.masks
    if masks is None:
        masks = np.zeros((count, *sample.image.shape[:2]), bool)
    picture = draw_instances(sample.image, masks, sample.captions, scale,
                             colors)
    for i, (box, color) in enumerate(zip(sample.boxes, colors)):
        if with_boxes or sample.masks is None:
            left, top, right, bottom = np.round(box * scale).astype(int)
            cv2.rectangle(picture, (left, top), (right - 1, bottom - 1),
                          color, 1)
            # An instance without pixels has no caption yet.
            if not masks[i].any():
                cv2.putText(picture, sample.captions[i], (left + 2, top + 11),
                            _FONT, 0.38, color, 1, cv2.LINE_AA)
    return picture


def contact_sheet(pictures: Sequence[np.ndarray],
                  columns: int) -> np.ndarray:
    """Put pictures of any size on one sheet, row by row.

    Args:
        pictures: (H_i, W_i, 3) uint8, at least one.
        columns: Pictures a row, at least 1.

    Returns:
        (H, W, 3) uint8, white where there is nothing. Columns are as wide
        and rows as high as their largest picture.

    Raises:
        ValueError: if there is no picture or no column.
    """
    if not pictures or columns < 1:
        raise ValueError('`pictures` of contact_sheet must not be empty and '
                         f'`columns` at least 1, got {len(pictures)} and '
                         f'{columns}.')
    rows = [pictures[i:i + columns] for i in range(0, len(pictures), columns)]
    widths = [max(row[k].shape[1] for row in rows if k < len(row))
              for k in range(min(columns, len(pictures)))]
    lines: List[np.ndarray] = []
    for row in rows:
        height = max(picture.shape[0] for picture in row)
        line = np.full((height, sum(widths) + _GAP_PX * (len(widths) - 1), 3),
                       255, np.uint8)
        left = 0
        for picture, width in zip(row, widths):
            line[:picture.shape[0], left:left + picture.shape[1]] = picture
            left += width + _GAP_PX
        lines += [line, np.full((_GAP_PX, *line.shape[1:]), 255, np.uint8)]
    return np.vstack(lines[:-1])
