"""Accuracy against cost as inline SVG, for pages without scripts.

Colours come from the page: the classes ``dot``, ``hollow``, ``front``,
``label``, ``leader``, ``grid`` and ``axis`` are styled there.
"""
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from typing import Callable, List, Sequence, Tuple

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath
from matplotlib.ticker import LogLocator, MaxNLocator

from .label_places import box_around, free_place, front_boxes, pareto_front

#: Of the drawing, in its own units: pixels where it is shown in full size.
WIDTH, HEIGHT = 360, 370
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 10, 24, 40
_LABEL_PX = 10.5
_RADIUS = 4.2
#: Dots below this share of the highest are put on the lower edge, with their
#: value in the label: to show them in their place would squeeze the others.
_FLOOR = 0.4
#: Where the costs span more than this factor, their axis is logarithmic.
_LOG_FROM = 8.0


@dataclass(frozen=True)
class Dot:
    """A method in a plot.

    Args:
        label: Text beside the dot.
        cost: Along x, > 0.
        value: Along y.
        square: Drawn as a square, otherwise as a disk.
        hollow: Drawn hollow, and left out of the Pareto front.
    """
    label: str
    cost: float
    value: float
    square: bool = False
    hollow: bool = False


def scatter_svg(dots: Sequence[Dot], cost_name: str, value_name: str) -> str:
    """Draw values against costs, with labels and the Pareto front.

    Args:
        dots: At least one.
        cost_name: Name of the x axis, with its unit.
        value_name: Name of the y axis.

    Returns:
        An ``<svg>`` element that scales with its container.

    Raises:
        ValueError: if there are no dots, or a cost is not positive.
    """
    if not dots or min(dot.cost for dot in dots) <= 0:
        raise ValueError('`dots` of scatter_svg must be at least one, with '
                         f'costs > 0, got {list(dots)}.')
    x_of, x_ticks = _x_axis([dot.cost for dot in dots])
    y_of, y_ticks = _y_axis([dot.value for dot in dots])
    dots = [_named(dot) if y_of(dot.value) >= HEIGHT - _BOTTOM else dot
            for dot in dots]
    solid = [dot for dot in dots if not dot.hollow]
    front = [solid[i] for i in pareto_front([dot.cost for dot in solid],
                                            [dot.value for dot in solid])]
    spots = np.array([(x_of(dot.cost), y_of(dot.value)) for dot in dots])
    corners = np.array([(x_of(dot.cost), y_of(dot.value)) for dot in front] +
                       [(WIDTH - _RIGHT, y_of(front[-1].value))]
                       ) if front else np.zeros((0, 2))
    parts = [
        f'<svg class="scatter" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(value_name)} against {escape(cost_name)}">',
        *_axes(x_of, x_ticks, y_of, y_ticks, cost_name, value_name),
        _front_path(corners),
        *(_dot(dot, x, y) for dot, (x, y) in zip(dots, spots)),
        *_labels(dots, [dot in front for dot in dots], spots, corners),
        '</svg>',
    ]
    return '\n'.join(part for part in parts if part)


def _x_axis(costs: Sequence[float]) -> Tuple[Callable, List[float]]:
    low, high = min(costs), max(costs)
    width = WIDTH - _LEFT - _RIGHT
    log = high > _LOG_FROM * low
    scale = np.log10 if log else float
    # Room for labels at the sides.
    start, end = scale(low), scale(high)
    room = 0.16 * (end - start) or 0.2 * abs(end) or 0.3
    start, end = start - 0.55 * room, end + room
    if not log:
        start = max(start, 0.0)
    ticks = (LogLocator(subs=(1, 2, 5)).tick_values(low, high) if log else
             MaxNLocator(5).tick_values(start, end))
    ticks = [tick for tick in ticks if tick > 0 or not log]
    ticks = [tick for tick in ticks if start <= scale(tick) <= end]

    def place(cost: float) -> float:
        return _LEFT + width * (scale(cost) - start) / (end - start)

    return place, ticks


def _y_axis(values: Sequence[float]) -> Tuple[Callable, List[float]]:
    high = max(values)
    # What lies below is put on the edge.
    low = min(value for value in values if value >= _FLOOR * high)
    cut = low > min(values)
    room = max(0.07 * (high - low), 0.6)
    low, high = low - (3 if cut else 1) * room, high + room
    height = HEIGHT - _TOP - _BOTTOM
    ticks = [tick for tick in MaxNLocator(6).tick_values(low, high)
             if low <= tick <= high]

    def place(value: float) -> float:
        return _TOP + height * min((high - value) / (high - low), 1.0)

    return place, ticks


def _named(dot: Dot) -> Dot:
    return replace(dot, label=f'{dot.label} {dot.value:.1f} ↓')


def _axes(x_of: Callable, x_ticks: Sequence[float], y_of: Callable,
          y_ticks: Sequence[float], x_name: str, y_name: str) -> List[str]:
    bottom, right = HEIGHT - _BOTTOM, WIDTH - _RIGHT
    parts = []
    for tick in y_ticks:
        y = y_of(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" '
                     f'y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="axis" x="{_LEFT - 6}" y="{y + 3.5:.1f}" '
                     f'text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x = x_of(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" '
                     f'y1="{_TOP}" y2="{bottom}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{bottom + 14}" '
                     f'text-anchor="middle">{tick:g}</text>')
    middle = (_LEFT + right) / 2
    parts.append(f'<text class="axis name" x="{middle:.0f}" '
                 f'y="{HEIGHT - 8}" text-anchor="middle">{escape(x_name)}'
                 '</text>')
    parts.append(f'<text class="axis name" x="0" y="{_TOP - 13}">'
                 f'{escape(y_name)}</text>')
    return parts


def _front_path(corners: np.ndarray) -> str:
    """Return the steps through the front: nothing beats it before them."""
    if not len(corners):
        return ''
    (x, y), *rest = corners
    path = f'M{x:.1f},{y:.1f}' + ''.join(
        f'H{x:.1f}V{y:.1f}' for x, y in rest)
    return f'<path class="front" d="{path}"/>'


def _dot(dot: Dot, x: float, y: float) -> str:
    kind = 'dot hollow' if dot.hollow else 'dot'
    title = f'<title>{escape(dot.label)}: {dot.value:g} at {dot.cost:.3g}' \
        '</title>'
    if dot.square:
        side = 1.8 * _RADIUS
        return (f'<rect class="{kind} square" x="{x - side / 2:.1f}" '
                f'y="{y - side / 2:.1f}" width="{side:.1f}" '
                f'height="{side:.1f}">{title}</rect>')
    return (f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="{_RADIUS}">{title}</circle>')


def _labels(dots: Sequence[Dot], on_front: Sequence[bool], spots: np.ndarray,
            corners: np.ndarray) -> List[str]:
    """Write each label near its dot, on nothing that is there already."""
    taken = [box_around(x, y, _RADIUS + 1.5, _RADIUS + 1.5)
             for x, y in spots]
    taken += front_boxes(corners)
    frame = np.array([_LEFT, _TOP, WIDTH - 2, HEIGHT - _BOTTOM], float)
    lines, texts = [], []
    # The front's first, the others from the top down.
    order = sorted(range(len(dots)),
                   key=lambda i: (not on_front[i], spots[i][1]))
    for i in order:
        size = text_width(dots[i].label, on_front[i]), _LABEL_PX
        offset, box = free_place(spots[i], size, taken, frame)
        taken.append(box)
        x, y = spots[i] + offset
        gap = np.maximum(np.abs(offset) - np.array(size) / 2, 0)
        if np.hypot(*gap) > 11:
            # To the nearest edge of the label, not to its middle.
            end = np.clip(spots[i], box[:2] + 1, box[2:] - 1)
            lines.append('<line class="leader" x1="{:.1f}" y1="{:.1f}" '
                         'x2="{:.1f}" y2="{:.1f}"/>'.format(*spots[i], *end))
        weight = ' strong' if on_front[i] else ''
        texts.append(f'<text class="label{weight}" x="{x:.1f}" '
                     f'y="{y + 0.36 * _LABEL_PX:.1f}" text-anchor="middle">'
                     f'{escape(dots[i].label)}</text>')
    return lines + texts


@lru_cache(maxsize=None)
def text_width(text: str, bold: bool = False) -> float:
    """Return the width of a label, in a font wider than most pages'."""
    font = FontProperties(family='DejaVu Sans', size=_LABEL_PX,
                          weight='bold' if bold else 'normal')
    width, _, _ = TextToPath().get_text_width_height_descent(
        text, font, ismath=False)
    # Fonts are measured in points, the drawing is in pixels of its own.
    return float(width)
