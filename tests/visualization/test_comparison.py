"""Plots of two models' numbers."""
import numpy as np

from mmseghead.evaluation.functional.resampling import Difference
from mmseghead.visualization.comparison import (PAIR, plot_bars,
                                                plot_confusions,
                                                plot_differences)

BETTER = Difference(0.3, 0.5, 0.2, 0.1, 0.3, 1.0)
WORSE = Difference(0.5, 0.3, -0.2, -0.3, -0.1, 0.0)
OPEN = Difference(0.5, 0.4, -0.1, -0.3, 0.2, 0.3)
BARE = Difference(0.5, 0.4, -0.1, None, None, None)
NONE = Difference(None, 0.4, None, None, None, None)


def drawn(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())


def test_differences_show_their_side():
    figure = plot_differences(
        {'': dict(up=BETTER, down=WORSE, unclear=OPEN, bare=BARE, none=NONE),
         'group': dict(more=BETTER)}, ('$x$', 'y'), 'title')
    (axes, ) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == [
        'up', 'down', 'unclear', 'bare', 'group', 'more']
    dots = [line for line in axes.lines if line.get_marker() == 'o']
    assert [dot.get_xdata()[0] for dot in dots] == [20, -20, -10, -10, 20]
    assert [dot.get_markerfacecolor() for dot in dots] == [
        PAIR[1], PAIR[0], 'white', 'white', PAIR[1]]
    spans = [line.get_xdata() for line in axes.lines
             if line.get_linewidth() == 2.2]
    assert [list(span) for span in spans] == [
        [10, 30], [-30, -10], [-30, 20], [10, 30]]
    assert drawn(figure).std() > 5


def test_bars_come_in_pairs():
    figure = plot_bars(dict(a=BETTER, none=NONE, b=WORSE), ('x', 'y'),
                       'points', 'title')
    (axes, ) = figure.axes
    first, second = axes.containers
    assert [bar.get_width() for bar in first] == [30, 50]
    assert [bar.get_width() for bar in second] == [50, 30]
    assert [t.get_text() for t in axes.get_yticklabels()] == ['a', 'b']
    assert drawn(figure).std() > 5


def test_confusions_show_counts_and_shares():
    table = np.array([[6, 2, 2], [0, 0, 0], [3, 0, 0]])
    figure = plot_confusions(dict(x=table, y=table.T), ['one', 'two'])
    first, second = figure.axes
    assert [t.get_text() for t in first.texts] == ['6', '2', '2', '3']
    assert first.images[0].get_array().data.tolist() == [
        [0.6, 0.2, 0.2], [0, 0, 0], [1, 0, 0]]
    assert [t.get_text() for t in first.get_xticklabels()] == [
        'one', 'two', 'missed']
    assert [t.get_text() for t in first.get_yticklabels()] == [
        'one', 'two', 'background']
    assert drawn(figure).std() > 5


def test_nothing_to_plot_and_many_classes():
    assert drawn(plot_differences({'': dict(a=NONE)}, 'xy', 't')).std() > 0
    assert drawn(plot_bars({}, 'xy', 'points', 't')).std() > 0
    many = [f'class {k}' for k in range(81)]
    figure = plot_confusions(dict(x=np.eye(82, dtype=int)), many)
    assert not figure.axes[0].texts
    assert drawn(figure).std() > 0
