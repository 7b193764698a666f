"""Rays over images, and plots of what rays can express."""
from typing import Mapping, Sequence, Tuple

import cv2
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .instances import instance_color
from .plots import COLORS, GRID, INK, MUTED

_RAY_SHARE = 0.55  # opacity of a ray


def draw_rays(image: np.ndarray,
              centers: np.ndarray,
              contours: np.ndarray,
              scale: int = 1) -> np.ndarray:
    """Draw instances as rays, with the polygon through their ends.

    Args:
        image: (H, W, 3) uint8, BGR.
        centers: (N, 2) x, y, pixel indices.
        contours: (N, 2, n) ends of the rays, x in row 0.
        scale: Enlargement of the picture, so that lines stay thin.

    Returns:
        (H * scale, W * scale, 3) uint8, BGR; the image itself when N is 0.

    Raises:
        ValueError: if the numbers of centres and contours differ.
    """
    if len(centers) != len(contours):
        raise ValueError('`centers` and `contours` of draw_rays must be of '
                         f'one length, got {len(centers)} and '
                         f'{len(contours)}.')
    canvas = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    rays = canvas.copy()
    # The middle of an enlarged pixel.
    place = [np.rint((np.asarray(value, float) + 0.5) * scale - 0.5)
             for value in (centers, np.moveaxis(contours, 1, -1))]
    middles, polygons = (value.astype(int) for value in place)
    for index, (middle, polygon) in enumerate(zip(middles, polygons)):
        for end in polygon.tolist():
            cv2.line(rays, middle.tolist(), end, instance_color(index), 1,
                     cv2.LINE_AA)
    canvas = cv2.addWeighted(rays, _RAY_SHARE, canvas, 1 - _RAY_SHARE, 0)
    for index, (middle, polygon) in enumerate(zip(middles, polygons)):
        color = instance_color(index)
        cv2.polylines(canvas, [polygon.astype(np.int32)], True, color, 1,
                      cv2.LINE_AA)
        cv2.circle(canvas, middle.tolist(), max(2, scale), color, -1,
                   cv2.LINE_AA)
    return canvas


def plot_bounds(num_rays: Sequence[int],
                by_center: Mapping[str, Sequence[float]],
                by_class: Mapping[str, Sequence[float]],
                title: str) -> Figure:
    """Plot the mean IoU that rays can reach against their number.

    Args:
        num_rays: Ascending.
        by_center: Name of the centre -> a mean IoU for each number.
        by_class: Class -> likewise; empty leaves the second panel out.
        title: Headline.

    Returns:
        A figure; ``figure.savefig(path, dpi=150)`` writes it.
    """
    panels = [('all instances', by_center)]
    if by_class:
        panels.append(('by class, mass centre', by_class))
    with rc_context({'font.size': 9, 'font.family': 'sans-serif'}):
        figure = Figure(figsize=(4.9 * len(panels), 4.2), facecolor='white')
        FigureCanvasAgg(figure)
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(all_axes, panels):
            _draw_lines(axes, num_rays, *panel)
        figure.suptitle(title, x=0.012, y=0.985, ha='left', fontsize=12,
                        color=INK, weight='bold')
        figure.tight_layout()
    return figure


def _draw_lines(axes: Axes, num_rays: Sequence[int], name: str,
                lines: Mapping[str, Sequence[float]]) -> None:
    for i, (label, values) in enumerate(_fewer(lines)):
        axes.plot(num_rays, values, 'o-', markersize=4, linewidth=1.5,
                  color=COLORS[i % len(COLORS)], label=label)
    axes.set_xlabel('rays', color=INK)
    axes.set_ylabel('mean IoU with ground truth', color=INK)
    axes.set_title(name, loc='left', fontsize=9, color=MUTED)
    axes.set_xticks(num_rays)
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which='both', colors=MUTED, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.legend(loc='upper center', bbox_to_anchor=(0.5, -0.17), ncols=4,
                frameon=False, fontsize=8, labelcolor=INK)


def _fewer(lines: Mapping[str, Sequence[float]]
           ) -> Sequence[Tuple[str, Sequence[float]]]:
    """Of more lines than colours return the best and the worst ones."""
    items = sorted(lines.items(), key=lambda item: -item[1][-1])
    half = len(COLORS) // 2
    return items if len(items) <= len(COLORS) else items[:half] + items[-half:]
