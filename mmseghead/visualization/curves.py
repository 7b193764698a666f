"""Curves of trainings."""
from typing import Dict, List, NamedTuple, Sequence, Tuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .comparison import dress, new_figure
from .plots import COLORS, INK

_STYLES = ('-', (0, (4, 2)), (0, (1, 1.5)), (0, (4, 2, 1, 2)))


class Curve(NamedTuple):
    """One line of a panel.

    Args:
        run: Name of the run.
        key: What was measured.
        steps: (N,) training iterations.
        values: (N,); what is not finite leaves a gap.
        raw: (N,) the values before smoothing, drawn faintly, or ``values``.
    """
    run: str
    key: str
    steps: np.ndarray
    values: np.ndarray
    raw: np.ndarray


def plot_curves(panels: Dict[str, Sequence[Curve]],
                title: str = '') -> Figure:
    """Draw one panel below the other, over the training iterations.

    Runs differ by colour and keys by the dashes of the line; with only one
    run keys differ by colour.

    Args:
        panels: Title of a panel -> its curves.
        title: Headline.
    """
    curves = [curve for panel in panels.values() for curve in panel]
    runs = list(dict.fromkeys(curve.run for curve in curves))
    with matplotlib.rc_context({'font.size': 9,
                                'font.family': 'sans-serif'}):
        height = 0.5 + 2.5 * max(len(panels), 1)
        figure, top = new_figure(8.2, height, title)
        top = top if title else 1.0
        if not panels:
            return figure
        all_axes = figure.subplots(len(panels), 1, squeeze=False,
                                   sharex=True)[:, 0]
        for axes, (name, panel) in zip(all_axes, panels.items()):
            _draw_panel(axes, name, panel, runs)
        all_axes[-1].set_xlabel('iteration', color=INK)
        figure.subplots_adjust(left=0.09, right=0.73, hspace=0.28,
                               top=top - 0.22 / height, bottom=0.5 / height)
    return figure


def _draw_panel(axes: Axes, name: str, panel: Sequence[Curve],
                runs: List[str]) -> None:
    keys = list(dict.fromkeys(curve.key for curve in panel))
    for curve in panel:
        color, style = _look(runs.index(curve.run), keys.index(curve.key),
                             len(runs))
        # A curve of few points shows where they are.
        marker = 'o' if len(curve.steps) <= 12 else None
        if curve.raw is not curve.values:
            axes.plot(curve.steps, curve.raw, color=color, linewidth=0.8,
                      alpha=0.3)
        axes.plot(curve.steps, curve.values, color=color, linestyle=style,
                  linewidth=1.5, marker=marker, markersize=4,
                  label=_label(curve, len(runs), len(keys)))
    axes.set_title(name, fontsize=9.5, color=INK, loc='left',
                   parse_math=False)
    dress(axes)
    if len(runs) > 1 or len(keys) > 1:
        legend = axes.legend(
            loc='upper left', bbox_to_anchor=(1.005, 1.03), frameon=False,
            fontsize=7.5, labelcolor=INK, handlelength=2.2)
        for text in legend.get_texts():
            text.set_parse_math(False)


def _look(run: int, key: int, num_runs: int) -> Tuple:
    if num_runs == 1:
        return (COLORS[key % len(COLORS)],
                _STYLES[key // len(COLORS) % len(_STYLES)])
    return COLORS[run % len(COLORS)], _STYLES[key % len(_STYLES)]


def _label(curve: Curve, num_runs: int, num_keys: int) -> str:
    if num_runs == 1:
        return curve.key
    return curve.run if num_keys == 1 else f'{curve.run} {curve.key}'
