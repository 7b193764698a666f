"""Plots of two models' numbers on the same images."""
from typing import Mapping, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmseghead.evaluation.functional.resampling import Difference
from .plots import COLORS, GRID, INK, MUTED

#: Of the first and the second model.
PAIR = COLORS[:2]
_FONT = {'font.size': 9, 'font.family': 'sans-serif'}
_MOST_NUMBERS = 12  # classes up to which a matrix shows its counts


def new_figure(width: float, height: float,
               title: str) -> Tuple[Figure, float]:
    """Return a white figure with a headline at its top left.

    Args:
        width: In inches.
        height: In inches.
        title: The headline.

    Returns:
        The figure, and where the headline's bottom lies, 0 to 1.
    """
    figure = Figure(figsize=(width, height), facecolor='white')
    FigureCanvasAgg(figure)
    figure.text(0.12 / width, 1 - 0.12 / height, title, fontsize=12,
                color=INK, weight='bold', va='top')
    return figure, 1 - 0.42 / height


def dress(axes: Axes, grid: str = 'both') -> None:
    """Take away what is not needed of a plot's frame.

    Args:
        axes: The plot.
        grid: ``x``, ``y`` or ``both``.
    """
    axes.grid(True, axis=grid, color=GRID, linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(which='both', colors=MUTED, length=0, labelcolor=INK)
    for side in ('top', 'right'):
        axes.spines[side].set_visible(False)
    for side in ('left', 'bottom'):
        axes.spines[side].set_color(MUTED)


def plot_differences(groups: Mapping[str, Mapping[str, Difference]],
                     names: Sequence[str], title: str) -> Figure:
    """Draw differences with their intervals, one below the other.

    Args:
        groups: Headline of a group -> name -> difference, 0 to 1. What is
            not defined is left out. Full dots are differences whose interval
            lies on one side of 0.
        names: Of the two models.
        title: Headline.
    """
    rows, labels = [], []
    for head, items in groups.items():
        if head:
            rows.append(None)
            labels.append(head)
        for key, item in items.items():
            if item.difference is not None:
                rows.append(item)
                labels.append(key)
    with matplotlib.rc_context(_FONT):
        height = 1.1 + 0.27 * max(len(rows), 1)
        figure, top = new_figure(7.2, height, title)
        axes = figure.add_axes([0.33, 0.55 / height, 0.64,
                                top - 0.55 / height])
        for place, item in enumerate(rows):
            if item is not None:
                _draw_difference(axes, place, item)
        axes.axvline(0, color=MUTED, linewidth=1, zorder=1)
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
        axes.set_xlabel(f'{names[0]} better  \u2190  points  \u2192  '
                        f'{names[1]} better', color=INK, parse_math=False)
        dress(axes, 'x')
        for item, text in zip(rows, axes.get_yticklabels()):
            if item is None:
                text.set_weight('bold')
    return figure


def _draw_difference(axes: Axes, place: int, item: Difference) -> None:
    color = MUTED
    if item.clear:
        color = PAIR[1] if item.difference > 0 else PAIR[0]
    if item.low is not None:
        axes.plot([100 * item.low, 100 * item.high], [place, place],
                  color=color, linewidth=2.2, solid_capstyle='round',
                  zorder=2)
    axes.plot(100 * item.difference, place, 'o', markersize=6, zorder=3,
              markerfacecolor=color if item.clear else 'white',
              markeredgecolor=color, markeredgewidth=1.5)


def plot_bars(items: Mapping[str, Difference], names: Sequence[str],
              value_name: str, title: str) -> Figure:
    """Draw the numbers of two models as pairs of bars.

    Args:
        items: Name -> numbers, 0 to 1; what is not defined is left out.
        names: Of the two models.
        value_name: Of the axis, with its unit.
        title: Headline.
    """
    items = {key: item for key, item in items.items()
             if item.difference is not None}
    with matplotlib.rc_context(_FONT):
        height = 1.5 + 0.42 * max(len(items), 1)
        figure, top = new_figure(7.2, height, title)
        axes = figure.add_axes([0.24, 0.5 / height, 0.7,
                                top - 0.85 / height])
        for m, name in enumerate(names):
            values = [100 * item[m] for item in items.values()]
            places = np.arange(len(values)) + 0.38 * (m - 0.5)
            bars = axes.barh(places, values, height=0.36, color=PAIR[m],
                             label=name, zorder=2)
            axes.bar_label(bars, fmt='%.1f', padding=2, fontsize=7.5,
                           color=INK)
        axes.set_yticks(range(len(items)), list(items))
        axes.set_ylim(len(items) - 0.45, -0.55)
        axes.margins(x=0.09)
        axes.set_xlabel(value_name, color=INK)
        dress(axes, 'x')
        figure.legend(*axes.get_legend_handles_labels(), loc='upper left',
                      bbox_to_anchor=(0.005, top), ncols=2, frameon=False,
                      labelcolor=INK, fontsize=8.5)
    return figure


def plot_confusions(tables: Mapping[str, np.ndarray],
                    classes: Sequence[str]) -> Figure:
    """Draw confusion matrices side by side, rows as shares of their sum.

    Args:
        tables: Model -> (K + 1, K + 1) counts, see ``confusion_counts``.
        classes: K names.
    """
    size = len(classes) + 1
    side = float(np.clip(0.42 * size, 2.2, 9.0))
    left = 0.35 + 0.075 * max(map(len, (*classes, 'background')))
    width = len(tables) * (side + left + 0.2)
    with matplotlib.rc_context(_FONT):
        figure, top = new_figure(
            width, side + left + 0.75,
            'Rows: truth, columns: predicted; shade: share of the row')
        height = figure.get_figheight()
        for m, (name, counts) in enumerate(tables.items()):
            corner = m * (side + left + 0.2) + left
            axes = figure.add_axes([corner / width, left / height,
                                    side / width, side / height])
            _draw_confusion(axes, counts, classes)
            axes.set_title(name, fontsize=9, color=INK, loc='left')
    return figure


def _draw_confusion(axes: Axes, counts: np.ndarray,
                    classes: Sequence[str]) -> None:
    size = len(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap='Blues', vmin=0, vmax=1, aspect='equal')
    font = 7.5 if size <= 40 else 5
    axes.set_xticks(range(size), [*classes, 'missed'], rotation=90,
                    fontsize=font)
    axes.set_yticks(range(size), [*classes, 'background'], fontsize=font)
    axes.tick_params(length=0, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_color(GRID)
    if size > _MOST_NUMBERS + 1:
        return
    for k in range(size):
        for j in range(size):
            if counts[k, j]:
                axes.text(j, k, str(counts[k, j]), ha='center', va='center',
                          fontsize=7,
                          color='white' if share[k, j] > 0.55 else INK)
