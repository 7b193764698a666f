"""Trade-off plots: the Pareto front, and labels that stay apart."""
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

from mmseghead.visualization.label_places import pareto_front
from mmseghead.visualization.plots import Point, plot_tradeoffs

_numbers = st.floats(1, 100).map(lambda x: round(x))


@given(st.lists(st.tuples(_numbers, _numbers), max_size=12))
def test_front_against_all_pairs(pairs):
    costs = [pair[0] for pair in pairs]
    values = [pair[1] for pair in pairs]
    front = pareto_front(costs, values)

    def beats(i, j):
        no_worse = costs[i] <= costs[j] and values[i] >= values[j]
        better = costs[i] < costs[j] or values[i] > values[j]
        return no_worse and (better or i < j)

    expected = {
        j for j in range(len(pairs))
        if not any(beats(i, j) for i in range(len(pairs)) if i != j)
    }
    assert set(front) == expected and len(front) == len(expected)
    assert [costs[i] for i in front] == sorted(costs[i] for i in front)


def test_front_needs_equal_lengths():
    with pytest.raises(ValueError, match='got 1 and 2'):
        pareto_front([1], [1, 2])


def _points(count, seed=0):
    rng = np.random.default_rng(seed)
    return [
        Point(f'Method {i} R50', f'Method {i % 5}', cost, value, i % 2 == 0)
        for i, (cost, value) in enumerate(
            zip(10**rng.uniform(0.5, 2.6, count), rng.uniform(20, 45, count)))
    ]


def _boxes(figure):
    figure.draw_without_rendering()  # puts annotations in their places
    renderer = figure.canvas.get_renderer()
    return [
        # An annotation's own extent takes in the line to its point.
        Text.get_window_extent(text, renderer).extents
        for text in figure.axes[0].texts if text.get_text()
    ], figure.bbox.extents


@pytest.mark.parametrize('seed', range(5))
def test_labels_do_not_overlap(seed):
    figure = plot_tradeoffs({'cost': _points(11, seed)}, 'mask AP', 'title')
    boxes, canvas = _boxes(figure)
    assert len(boxes) == 11
    for i, one in enumerate(boxes):
        assert (one[:2] >= canvas[:2]).all() and (one[2:] <= canvas[2:]).all()
        for other in boxes[:i]:
            sides = np.minimum(one[2:], other[2:]) - np.maximum(
                one[:2], other[:2])
            assert sides.min() <= 0


def test_measured_are_filled_and_reported_hollow():
    points = [Point('a', 'A', 1., 2., True), Point('b', 'A', 3., 4., False)]
    figure = plot_tradeoffs({'cost': points}, 'AP', 'title')
    faces = [
        line.get_markerfacecolor() for line in figure.axes[0].lines
        if line.get_marker() == 'o'
    ]
    assert len(faces) == 2 and faces[0] != 'white' and faces[1] == 'white'
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == [
        'A', 'measured here', 'reported by others', 'Pareto front'
    ]


@pytest.mark.parametrize('points', [[], _points(1), [_points(1)[0]] * 2])
def test_few_points_are_drawn(points):
    figure = plot_tradeoffs({'a': points, 'b': []}, 'AP', 'title', 'note')
    stream = io.BytesIO()
    figure.savefig(stream, format='png')
    assert stream.getvalue()[:4] == b'\x89PNG'


def test_wide_costs_get_a_logarithmic_axis():
    def scale(high):
        points = [Point('a', 'A', 1., 2., True),
                  Point('b', 'B', high, 3., True)]
        return plot_tradeoffs({'c': points}, 'AP', 't').axes[0].get_xscale()

    assert (scale(7.), scale(9.)) == ('linear', 'log')
