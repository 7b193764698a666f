"""Pictures of fields: colours mean what the docstrings say."""
import numpy as np
import pytest

from mmseghead.visualization.fields import (color_wheel, draw_direction_field,
                                            draw_signed_map)


def _colors(*vectors, reach=2.0):
    field = np.array(vectors, float).T[:, None]
    return draw_direction_field(field, np.ones(field.shape[1:]), reach)[0]


def test_directions_have_their_colours():
    right, down, left, up = _colors((2, 0), (0, 2), (-2, 0), (0, -2)).tolist()
    assert right == [0, 0, 255]
    assert left == [255, 255, 0]
    assert down[1] == 255 and down[0] == 0 and down[2] > 100  # BGR
    assert up[0] == 255 and up[1] == 0 and up[2] > 100


def test_short_vectors_fade_and_long_ones_do_not_overflow():
    short, full, long = _colors((0, 0), (2, 0), (9, 0)).tolist()
    assert short == [255, 255, 255]
    assert full == long == [0, 0, 255]


def test_hidden_places_are_black():
    field = np.ones((2, 3, 4))
    assert not draw_direction_field(field, np.zeros((3, 4)), 1.0).any()


def test_wheel_is_a_disk():
    wheel = color_wheel(21)
    assert not wheel[0, 0].any() and not wheel[-1, -1].any()
    assert wheel[10, 19].tolist()[2] == 255  # red at the right
    assert wheel[10, 1].tolist()[:2] == [255, 255]


def test_signed_map():
    values = np.array([[-3.0, -1, 0, 1, 3]])
    picture = draw_signed_map(values, 2.0)[0].astype(int)
    assert picture[2].tolist() == [0, 0, 0]
    assert picture[4, 2] == 255 and picture[4, 0] < 100
    assert picture[0, 0] == 255 and picture[0, 2] < 100
    assert picture[3, 2] < picture[4, 2]


def test_bad_input():
    with pytest.raises(ValueError, match=r'\(2, 3, 4\) and'):
        draw_direction_field(np.zeros((3, 3, 4)), np.zeros((2, 3, 4)), 1.0)
    with pytest.raises(ValueError, match='`limit`'):
        draw_signed_map(np.zeros((2, 2)), 0)
