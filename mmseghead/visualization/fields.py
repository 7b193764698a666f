"""Pictures of what dense heads predict: scores, directions, attention."""
import cv2
import numpy as np


def draw_direction_field(field: np.ndarray,
                         shown: np.ndarray,
                         reach: float) -> np.ndarray:
    """Colour vectors by their angle, as on a colour wheel.

    Args:
        field: (2, H, W) x and y of the vectors; y points down.
        shown: (H, W) in [0, 1], how visible each place is; 0 gives black.
        reach: Vectors of this length and longer have full colour, shorter
            ones fade to white.

    Returns:
        (H, W, 3) uint8 BGR. Red points right, yellow-green down, cyan left
        and violet up.

    Raises:
        ValueError: if shapes differ or ``reach`` is not positive.
    """
    if field.shape != (2, *shown.shape) or reach <= 0:
        raise ValueError(
            'draw_direction_field needs a (2, H, W) field, (H, W) weights '
            f'and a `reach` > 0, got {field.shape}, {shown.shape} and '
            f'{reach}.')
    angle = np.degrees(np.arctan2(field[1], field[0])) % 360
    length = np.clip(np.hypot(*field) / reach, 0, 1)
    hsv = np.stack(
        (angle / 2, 255 * length, 255 * np.clip(shown, 0, 1)), 2)
    # OpenCV's hues go from 0 to 180; 360 degrees are 0 again.
    hsv[..., 0] %= 180
    return cv2.cvtColor(hsv.round().astype(np.uint8), cv2.COLOR_HSV2BGR)


def color_wheel(size: int) -> np.ndarray:
    """Return the key to ``draw_direction_field``.

    Args:
        size: Side of the picture in pixels.

    Returns:
        (size, size, 3) uint8 BGR: each place of a disk has the colour of the
        direction from the middle to it.
    """
    steps = (np.arange(size) + 0.5) / size * 2 - 1
    field = np.stack(np.meshgrid(steps, steps))
    return draw_direction_field(field,
                                (np.hypot(*field) <= 1).astype(float), 1.0)


def draw_signed_map(values: np.ndarray, limit: float) -> np.ndarray:
    """Colour positive numbers red, negative ones blue and 0 black.

    Args:
        values: (H, W).
        limit: Numbers of this size and larger have full colour.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: if ``limit`` is not positive.
    """
    if limit <= 0:
        raise ValueError('`limit` of draw_signed_map must be > 0, got '
                         f'{limit}.')
    share = np.clip(values / limit, -1, 1)
    light = 0.35 * np.abs(share)
    picture = np.stack((light + 0.65 * np.clip(-share, 0, 1), light,
                        light + 0.65 * np.clip(share, 0, 1)), 2)
    return (255 * picture).round().astype(np.uint8)
