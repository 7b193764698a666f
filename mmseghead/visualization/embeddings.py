"""Pictures of Spatial Embeddings: seeds, bandwidths and embeddings.

Legend: N instances, H/W height and width of the maps.
"""
import math

import cv2
import numpy as np

from mmseghead.functional.spatial_embedding import PIXEL_STEPS
from .instances import instance_color

_STRAY = (110, 110, 110)  # BGR of foreground pixels in no instance


def draw_heat(values: np.ndarray, limit: float = 1.0) -> np.ndarray:
    """Colour numbers from dark violet (0) over green to yellow (limit).

    Args:
        values: (H, W), clipped to [0, limit].
        limit: Number of full colour.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ValueError: if ``limit`` is not positive.
    """
    if not limit > 0:
        raise ValueError(f'`limit` of draw_heat must be > 0, got {limit}.')
    levels = (255 * np.clip(values / limit, 0, 1)).round().astype(np.uint8)
    return cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)


def radii_px(weights: np.ndarray) -> np.ndarray:
    """Return where membership falls to one half, in pixels.

    Args:
        weights: (2, ...) weights of squared distances, x and y.

    Returns:
        (2, ...) half axes x and y.
    """
    steps = np.array(PIXEL_STEPS).reshape(2, *[1] * (weights.ndim - 1))
    return np.sqrt(math.log(2) / weights) / steps


def draw_embeddings(embeddings: np.ndarray, owners: np.ndarray,
                    foreground: np.ndarray, centers: np.ndarray,
                    weights: np.ndarray, scale: int = 2) -> np.ndarray:
    """Draw every foreground pixel where its embedding lies.

    Args:
        embeddings: (2, H, W) in units.
        owners: (H, W) integers: 0 for none, else 1 to N.
        foreground: (H, W) bool: pixels to draw.
        centers: (N, 2) in units.
        weights: (N, 2).
        scale: Enlargement of the picture.

    Returns:
        (H * scale, W * scale, 3) uint8 BGR: points in the instances' colours,
        grey if they are in none, and the ellipses of membership one half.
        Points outside of the image are not seen.
    """
    height, width = owners.shape
    canvas = np.zeros((height * scale, width * scale, 3), np.uint8)
    colors = np.array([_STRAY] + [instance_color(i)
                                  for i in range(len(centers))], np.uint8)
    steps = np.array(PIXEL_STEPS)
    # The middle of a pixel, as its coordinate is that of the whole.
    points = (embeddings[:, foreground].T / steps + .5) * scale
    columns, rows = np.floor(points).astype(int).T
    inside = (0 <= columns) & (columns < width * scale) & (0 <= rows) & (
        rows < height * scale)
    order = np.argsort(owners[foreground][inside] > 0, kind='stable')
    rows, columns = rows[inside][order], columns[inside][order]
    canvas[rows, columns] = colors[owners[foreground][inside][order]]
    half_axes = radii_px(weights.T).T * scale
    for i, (center, axes) in enumerate(zip(centers / steps, half_axes)):
        middle = np.round((center + .5) * scale).astype(int)
        axes = np.clip(np.round(axes), 1, 2**14).astype(int)
        cv2.ellipse(canvas, middle.tolist(), axes.tolist(), 0, 0, 360,
                    instance_color(i), 1, cv2.LINE_AA)
    return canvas
