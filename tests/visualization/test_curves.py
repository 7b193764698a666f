"""Curves of trainings."""
import numpy as np

from mmseghead.visualization.curves import Curve, plot_curves


def curve(run, key, values, raw=None):
    values = np.array(values, float)
    return Curve(run, key, np.arange(1, len(values) + 1), values,
                 values if raw is None else np.array(raw, float))


def test_runs_differ_by_colour_and_keys_by_dashes():
    panels = {
        'loss*': [curve('$a$', 'loss', [3, 2, 1]),
                  curve('$a$', 'loss_x', [1, 1, 1]),
                  curve('b', 'loss', [2, np.nan, 2])],
        'lr': [curve('b', 'lr', range(40))]
    }
    figure = plot_curves(panels, 'title')
    figure.canvas.draw()
    first, second = figure.axes
    one, other, third = first.lines
    assert one.get_color() == other.get_color() != third.get_color()
    assert one.get_linestyle() == third.get_linestyle() != \
        other.get_linestyle()
    assert second.lines[0].get_color() == third.get_color()
    labels = [t.get_text() for t in first.get_legend().get_texts()]
    assert labels == ['$a$ loss', '$a$ loss_x', 'b loss']
    assert one.get_marker() == 'o' and second.lines[0].get_marker() == 'None'
    assert second.get_xlabel() == 'iteration'


def test_keys_of_one_run_differ_by_colour():
    panels = {'loss*': [curve('a', key, [1, 2]) for key in ('x', 'y')]}
    lines = plot_curves(panels).axes[0].lines
    assert lines[0].get_color() != lines[1].get_color()
    assert lines[0].get_label() == 'x'


def test_smoothed_curves_show_the_raw_one_too():
    figure = plot_curves({'loss': [curve('a', 'loss', [2, 2], [1, 3])]})
    raw, smooth = figure.axes[0].lines
    assert raw.get_ydata().tolist() == [1, 3] and raw.get_alpha() < 1
    assert smooth.get_ydata().tolist() == [2, 2]
    assert figure.axes[0].get_legend() is None


def test_nothing_to_draw():
    assert not plot_curves({}).axes
