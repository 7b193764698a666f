"""Pictures of rays and the plot of their bound."""
import numpy as np
import pytest

from mmseghead.visualization.polar import draw_rays, plot_bounds


def test_rays_end_where_they_should():
    image = np.full((40, 60, 3), 50, np.uint8)
    centers = np.array([[30, 20]])
    contours = np.array([[[30, 45, 30, 10], [35, 20, 5, 20]]])  # (1, 2, 4)
    drawn = draw_rays(image, centers, contours, scale=3)
    assert drawn.shape == (120, 180, 3)
    changed = (drawn != 50).any(2)
    ys, xs = np.nonzero(changed)
    # The middle of pixel (x, y) is at 3 x + 1; antialiasing adds a pixel.
    assert abs(xs.min() - 31) <= 1 and abs(xs.max() - 136) <= 1
    assert abs(ys.min() - 16) <= 1 and abs(ys.max() - 106) <= 1
    assert changed[61, 91:136].all() and changed[61:106, 91].all()
    assert (image == 50).all()


def test_nothing_to_draw():
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    drawn = draw_rays(image, np.zeros((0, 2)), np.zeros((0, 2, 36)))
    assert np.array_equal(drawn, image)
    with pytest.raises(ValueError, match='of one length'):
        draw_rays(image, np.zeros((1, 2)), np.zeros((0, 2, 36)))


def test_plot_shows_the_best_and_the_worst_classes():
    lines = {f'c{k}': [k / 40, k / 20] for k in range(20)}
    figure = plot_bounds([18, 36], dict(mass=[.7, .8]), lines, 'title')
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ['mass']
    assert {line.get_label() for line in right.lines} == {
        'c19', 'c18', 'c17', 'c16', 'c3', 'c2', 'c1', 'c0'}
    assert right.lines[0].get_ydata().tolist() == [19 / 40, 19 / 20]
    assert len(plot_bounds([18], dict(mass=[.7]), {}, 't').axes) == 1
