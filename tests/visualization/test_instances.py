import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmseghead.visualization.instances import (draw_instances, instance_color,
                                               join_panels)

IMAGE = np.full((20, 31, 3), 90, np.uint8)


def box_mask(y1, y2, x1, x2):
    mask = np.zeros((20, 31), bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_colours_differ():
    colours = [instance_color(i) for i in range(40)]
    assert len(set(colours)) == 40
    assert all(0 <= value <= 255 for c in colours for value in c)


def test_only_the_mask_is_tinted():
    mask = box_mask(4, 12, 5, 25)
    drawn = draw_instances(IMAGE, mask[None])
    changed = (drawn != IMAGE).any(-1)
    assert changed[6:10, 7:23].all()
    assert not changed[14:].any() and not changed[:, 27:].any()
    assert (IMAGE == 90).all()  # the input is left alone


def test_holes_stay_open():
    mask = box_mask(2, 18, 2, 28)
    mask[7:13, 10:20] = False
    drawn = draw_instances(IMAGE, mask[None])
    assert (drawn[9:11, 13:17] == 90).all()


@pytest.mark.parametrize('scale', [1, 3])
def test_nothing_to_draw(scale):
    drawn = draw_instances(IMAGE, np.zeros((0, 20, 31), bool), [], scale)
    assert drawn.shape == (20 * scale, 31 * scale, 3)
    assert (drawn == 90).all()
    empty = draw_instances(IMAGE, np.zeros((1, 20, 31), bool), ['x'], scale)
    assert (empty == 90).all()


def test_captions_are_drawn_inside_the_picture():
    corner = box_mask(0, 2, 29, 31)
    drawn = draw_instances(IMAGE, corner[None], ['star'], scale=4)
    assert drawn.shape == (80, 124, 3)
    assert (drawn > 200).all(-1).any()


@given(st.integers(0, 18), st.integers(0, 29))
def test_one_pixel(y, x):
    mask = box_mask(y, y + 1, x, x + 1)
    assert (draw_instances(IMAGE, mask[None])[y, x] != 90).any()


def test_mismatches_are_named():
    with pytest.raises(ValueError, match=r'\(N, 20, 31\), got \(1, 31, 20\)'):
        draw_instances(IMAGE, np.zeros((1, 31, 20), bool))
    with pytest.raises(ValueError, match='must be 1'):
        draw_instances(IMAGE, np.zeros((1, 20, 31), bool), ['a', 'b'])
    with pytest.raises(ValueError, match='one height'):
        join_panels([IMAGE, IMAGE[:5]], ['a', 'b'])


def test_panels_keep_their_pixels():
    left, right = IMAGE + 1, IMAGE[:, :9] + 2
    joined = join_panels([left, right], ['left', 'right'])
    assert joined.shape == (44, 31 + 6 + 9, 3)
    assert (joined[24:, :31] == left).all()
    assert (joined[24:, 37:] == right).all()
    assert (joined[:, 31:37] == 255).all()
