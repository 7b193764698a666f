"""Instances drawn over images."""
import colorsys
from typing import List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np

from mmseghead.functional.mask_rle import EncodedMasks, decoded

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BAR_PX = 24  # height of a panel's title bar
_GAP_PX = 6  # white space between panels
_FILL = 0.45  # opacity of a mask's inside


def instance_color(index: int) -> Tuple[int, int, int]:
    """Return the index-th of an endless row of distinct BGR colours."""
    # Steps of the golden ratio never come close to an earlier hue soon.
    hue = (index * 0.61803398875) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 1.0)
    return round(blue * 255), round(green * 255), round(red * 255)


def draw_instances(image: np.ndarray,
                   masks: Union[np.ndarray, EncodedMasks],
                   captions: Optional[Sequence[str]] = None,
                   scale: int = 1,
                   colors: Optional[Sequence[Tuple[int, int, int]]] = None
                   ) -> np.ndarray:
    """Draw masks as tinted areas with outlines.

    Args:
        image: (H, W, 3) uint8, BGR.
        masks: (N, H, W) bool or ``EncodedMasks``; drawn in this order, later
            ones on top, one at a time.
        captions: A short text for each instance, drawn at its top left;
            nothing where it is empty.
        scale: Enlargement of the picture, so that outlines of small
            instances stay thin.
        colors: BGR of each instance; :func:`instance_color` of its index if
            None.

    Returns:
        (H * scale, W * scale, 3) uint8, BGR; the image itself when N is 0.

    Raises:
        ValueError: if masks and image, or masks and captions, don't match.
    """
    if len(masks.shape) != 3 or tuple(masks.shape[1:]) != image.shape[:2]:
        raise ValueError(
            f'`masks` of draw_instances must have shape (N, '
            f'{image.shape[0]}, {image.shape[1]}), got {masks.shape}.')
    if captions is not None and len(captions) != len(masks):
        raise ValueError(f'`captions` of draw_instances must be '
                         f'{len(masks)}, one a mask, got {len(captions)}.')
    canvas = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    texts = []
    for index, mask in enumerate(decoded(masks)):
        rows = np.flatnonzero(mask.any(1))
        if not len(rows):
            continue
        top, bottom = rows[0], rows[-1] + 1
        columns = np.flatnonzero(mask[top:bottom].any(0))
        left = columns[0]
        color = colors[index] if colors else instance_color(index)
        # Only the mask's box is worked on: images may be large.
        large = cv2.resize(
            mask[top:bottom, left:columns[-1] + 1].astype(np.uint8), None,
            fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
        top, left = int(top) * scale, int(left) * scale
        part = canvas[top:top + large.shape[0], left:left + large.shape[1]]
        inside = large.astype(bool)
        part[inside] = ((1 - _FILL) * part[inside] +
                        _FILL * np.array(color)).astype(np.uint8)
        contours, _ = cv2.findContours(large, cv2.RETR_CCOMP,
                                       cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, color, 1, cv2.LINE_AA,
                         offset=(left, top))
        if captions is not None and captions[index]:
            texts.append((captions[index], left, top))
    # Last, so that no mask covers a caption.
    for text, left, top in texts:
        _put_caption(canvas, text, int(left), int(top))
    return canvas


def _put_caption(canvas: np.ndarray, text: str, left: int, top: int) -> None:
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.38, 1)
    left = max(min(left, canvas.shape[1] - width - 2), 0)
    bottom = max(top, height + 3)
    cv2.rectangle(canvas, (left, bottom - height - 3), (left + width + 2,
                                                        bottom), (30, 30, 30),
                  -1)
    cv2.putText(canvas, text, (left + 1, bottom - 2), _FONT, 0.38,
                (255, 255, 255), 1, cv2.LINE_AA)


def join_panels(panels: Sequence[np.ndarray],
                titles: Sequence[str]) -> np.ndarray:
    """Put pictures of one height side by side, each below its title.

    Args:
        panels: (H, W_i, 3) uint8 pictures, at least one.
        titles: One text a panel.

    Returns:
        (H + 24, sum W_i + gaps, 3) uint8.

    Raises:
        ValueError: if heights differ or titles don't match.
    """
    heights = {panel.shape[0] for panel in panels}
    if len(heights) != 1 or len(titles) != len(panels):
        raise ValueError(
            'join_panels needs panels of one height and a title for each, '
            f'got heights {sorted(heights)} and {len(titles)} titles for '
            f'{len(panels)} panels.')
    pieces: List[np.ndarray] = []
    for panel, title in zip(panels, titles):
        bar = np.full((_BAR_PX, panel.shape[1], 3), 40, np.uint8)
        cv2.putText(bar, title, (6, _BAR_PX - 8), _FONT, 0.45,
                    (255, 255, 255), 1, cv2.LINE_AA)
        gap = np.full((_BAR_PX + panel.shape[0], _GAP_PX, 3), 255, np.uint8)
        pieces += [np.vstack([bar, panel]), gap]
    return np.hstack(pieces[:-1])


def encode_png(picture: np.ndarray) -> bytes:
    """Return a picture as the bytes of a PNG file.

    Args:
        picture: (H, W, 3) uint8, BGR.

    Raises:
        RuntimeError: if OpenCV cannot.
    """
    done, encoded = cv2.imencode('.png', picture)
    if not done:
        raise RuntimeError(f'OpenCV could not encode a picture of shape '
                           f'{picture.shape}.')
    return encoded.tobytes()
