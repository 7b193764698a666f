"""Plots of accuracy against cost, with the Pareto front."""
from dataclasses import dataclass
from typing import Any, List, Mapping, Sequence, Tuple

import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from .label_places import box_around, free_place, front_boxes, pareto_front

INK = '#1f2933'
MUTED = '#8a94a0'
GRID = '#e6e9ec'
#: Eight hues that stay apart for colour-blind readers (Okabe and Ito).
COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9',
          '#7a5195', '#4d4d4d')
#: Beyond the colours, methods differ by shape.
SHAPES = 'osD^vP'
#: Where the costs span more than this factor, their axis is logarithmic.
_LOG_FROM = 8.0


@dataclass(frozen=True)
class Point:
    """One model in a plot.

    Args:
        label: Text beside the point.
        group: Method; models of one group share colour and shape.
        cost: Position along x, > 0.
        value: Position along y.
        measured: Filled if measured here, hollow if reported by others.
    """
    label: str
    group: str
    cost: float
    value: float
    measured: bool


def plot_tradeoffs(panels: Mapping[str, Sequence[Point]],
                   value_name: str,
                   title: str,
                   note: str = '') -> Figure:
    """Draw one panel per cost, side by side, with a common legend.

    Args:
        panels: Name of the cost, with its unit -> points. A panel without
            points says so.
        value_name: Name of the y axis.
        title: Headline.
        note: Small print below, such as the hardware.

    Returns:
        A figure; ``figure.savefig(path, dpi=150)`` writes it.
    """
    groups = sorted({p.group for points in panels.values() for p in points})
    style = {
        group: (COLORS[i % len(COLORS)],
                SHAPES[i // len(COLORS) % len(SHAPES)])
        for i, group in enumerate(groups)
    }
    with matplotlib.rc_context({'font.size': 9, 'font.family': 'sans-serif'}):
        figure = Figure(figsize=(5.2 * len(panels), 4.9), facecolor='white')
        FigureCanvasAgg(figure)
        all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (cost_name, points) in zip(all_axes, panels.items()):
            _draw_points(axes, points, style)
            _dress(axes, cost_name, value_name)
        figure.suptitle(title, x=0.012, y=0.985, ha='left', fontsize=13,
                        color=INK, weight='bold')
        _legend(figure, style, panels)
        if note:
            figure.text(0.012, 0.012, note, color=MUTED, fontsize=7.5)
        figure.subplots_adjust(
            left=0.62 / figure.get_figwidth(), top=0.85, bottom=0.15,
            right=1 - 0.2 / figure.get_figwidth(), wspace=0.2)
        for axes, points in zip(all_axes, panels.values()):
            _place_labels(axes, points)
    return figure


def _draw_points(axes: Axes, points: Sequence[Point],
                 style: Mapping[str, Tuple[str, str]]) -> None:
    if not points:
        axes.text(0.5, 0.5, 'no figures yet', ha='center', va='center',
                  transform=axes.transAxes, color=MUTED)
        axes.set(xticks=[], yticks=[])
        return
    costs = np.array([point.cost for point in points], float)
    values = np.array([point.value for point in points], float)
    front = pareto_front(costs, values)
    if costs.max() > _LOG_FROM * costs.min():
        axes.set_xscale('log')
    _set_limits(axes, costs, values)
    # Nothing on the front is worth more until the next point's cost.
    axes.step(
        np.append(costs[front], axes.get_xlim()[1]),
        np.append(values[front], values[front[-1]]),
        where='post', color=MUTED, linewidth=1.1, linestyle=(0, (4, 2)),
        zorder=2)
    for i, point in enumerate(points):
        color, shape = style[point.group]
        axes.plot(
            point.cost, point.value, shape, markersize=7.5,
            markerfacecolor=color if point.measured else 'white',
            markeredgecolor=color, markeredgewidth=1.5, zorder=4)


def _set_limits(axes: Axes, costs: np.ndarray, values: np.ndarray) -> None:
    """Leave room for labels on all sides."""
    log = axes.get_xscale() == 'log'
    low, high = costs.min(), costs.max()
    if log:
        low, high = np.log10([low, high])
    room = 0.22 * (high - low) or (0.3 if log else 0.3 * abs(high) or 1.0)
    limits = np.array([low - 0.55 * room, high + room])
    axes.set_xlim(10**limits if log else np.maximum(limits, 0))
    room = max(0.14 * np.ptp(values), 0.6)
    axes.set_ylim(values.min() - room, values.max() + room)


def _dress(axes: Axes, cost_name: str, value_name: str) -> None:
    axes.set_xlabel(cost_name, color=INK)
    axes.set_ylabel(value_name, color=INK)
    axes.grid(True, color=GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(which='both', colors=MUTED, length=0)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    for side in ('left', 'bottom'):
        axes.spines[side].set_color(MUTED)
    if axes.get_xscale() == 'log':
        # Plain numbers, and few enough not to touch each other.
        axes.xaxis.set_major_locator(
            matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(
            matplotlib.ticker.FuncFormatter(lambda x, _: f'{x:g}'))
        axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _legend(figure: Figure, style: Mapping[str, Tuple[str, str]],
            panels: Mapping[str, Sequence[Point]]) -> None:
    handles = [
        Line2D([], [], linestyle='', marker=shape, color=color, markersize=7,
               label=group) for group, (color, shape) in style.items()
    ]
    states = {p.measured for points in panels.values() for p in points}
    words = {True: 'measured here', False: 'reported by others'}
    handles += [
        Line2D([], [], linestyle='', marker='o', markersize=7,
               markeredgecolor=INK, label=words[state],
               markerfacecolor=INK if state else 'white')
        for state in sorted(states, reverse=True)
    ]
    handles.append(
        Line2D([], [], color=MUTED, linestyle=(0, (4, 2)), linewidth=1.1,
               label='Pareto front'))
    figure.legend(
        handles=handles, loc='upper left', bbox_to_anchor=(0.005, 0.935),
        ncols=min(len(handles), 4 * len(panels)), frameon=False, fontsize=8.5,
        labelcolor=INK, handletextpad=0.3, columnspacing=1.4)


def _place_labels(axes: Axes, points: Sequence[Point]) -> None:
    """Write each label near its point, on nothing that is there already.

    Greedy: front points first, nearest free place first; a label that has to
    go far gets a thin line to its point.
    """
    if not points:
        return
    figure = axes.get_figure()
    renderer = figure.canvas.get_renderer()
    scale = figure.dpi / 72
    spots = axes.transData.transform([(p.cost, p.value) for p in points])
    taken = [box_around(x, y, 6 * scale, 6 * scale) for x, y in spots]
    taken += _front_boxes(axes, points, scale)
    frame = axes.get_window_extent(renderer).extents
    front = pareto_front([p.cost for p in points], [p.value for p in points])
    order = front[::-1] + [i for i in range(len(points)) if i not in front]
    for i in order:
        font = dict(fontsize=7.5, weight='bold' if i in front else 'normal')
        size = _text_size(axes, points[i].label, font)
        offset, box = free_place(spots[i], size, taken, frame, scale)
        taken.append(box)
        gap = np.abs(offset) - np.array(size) / 2 / scale
        far = np.hypot(*np.maximum(gap, 0)) > 9.5
        line = dict(arrowstyle='-', color=MUTED, lw=0.6, shrinkA=1, shrinkB=4)
        axes.annotate(
            points[i].label, (points[i].cost, points[i].value), offset,
            textcoords='offset points', ha='center', va='center', zorder=5,
            color=INK, path_effects=[withStroke(linewidth=2, foreground='w')],
            arrowprops=line if far else None, **font)


def _text_size(axes: Axes, label: str,
               font: Mapping[str, Any]) -> Tuple[float, float]:
    """Return width and height of a text in pixels."""
    text = axes.text(0, 0, label, **font)
    extent = text.get_window_extent(axes.get_figure().canvas.get_renderer())
    text.remove()
    return extent.width, extent.height


def _front_boxes(axes: Axes, points: Sequence[Point],
                 scale: float) -> List[np.ndarray]:
    """Return boxes that cover the steps of the Pareto front, in pixels."""
    front = pareto_front([p.cost for p in points], [p.value for p in points])
    corners = [(points[i].cost, points[i].value) for i in front]
    corners.append((axes.get_xlim()[1], corners[-1][1]))
    return front_boxes(axes.transData.transform(corners), scale)
