"""Samples and contact sheets."""
import numpy as np
import pytest

from mmseghead.visualization.instances import instance_color
from mmseghead.visualization.samples import Sample, contact_sheet, draw_sample

IGNORED = (150, 150, 150)


def sample(masks=True, captions=('', 'ignored')):
    image = np.full((30, 40, 3), 20, np.uint8)
    boxes = np.array([[4.0, 5, 14, 25], [20, 6, 36, 20]])
    drawn = np.zeros((2, 30, 40), bool)
    drawn[0, 8:20, 6:12] = True
    drawn[1, 8:18, 24:34] = True
    return Sample(image, boxes, drawn if masks else None, captions, 1, 'x')


def test_boxes_and_masks_keep_their_colours():
    for scale in (1, 3):
        picture = draw_sample(sample(captions=('', '')), scale)
        assert picture.shape == (30 * scale, 40 * scale, 3)
        assert tuple(picture[5 * scale, 8 * scale]) == instance_color(0)
        assert tuple(picture[20 * scale - 1, 30 * scale]) == IGNORED
    inside = draw_sample(sample(captions=('', '')), 1, with_boxes=False)
    assert tuple(inside[5, 8]) == (20, 20, 20)
    assert tuple(inside[14, 8]) != (20, 20, 20)


def test_without_masks_boxes_are_drawn_in_any_case():
    picture = draw_sample(sample(masks=False), 1, with_boxes=False)
    assert tuple(picture[5, 8]) == instance_color(0)
    assert tuple(picture[14, 8]) == (20, 20, 20)


def test_captions_are_drawn_where_there_are_some():
    bare = draw_sample(sample(captions=('', '')), 4)
    assert not np.array_equal(draw_sample(sample(), 4), bare)


def test_nothing_to_draw():
    empty = Sample(np.full((5, 7, 3), 9, np.uint8), np.zeros((0, 4)),
                   np.zeros((0, 5, 7), bool), [], 0, 'x')
    assert np.array_equal(draw_sample(empty), empty.image)


def test_sheet_places_pictures_row_by_row():
    pictures = [np.full((h, w, 3), i, np.uint8)
                for i, (h, w) in enumerate([(4, 6), (8, 3), (5, 9)])]
    sheet = contact_sheet(pictures, 2)
    assert sheet.shape == (8 + 6 + 5, 9 + 6 + 3, 3)
    assert (sheet[:4, :6] == 0).all() and (sheet[4:8, :6] == 255).all()
    assert (sheet[:8, 15:] == 1).all()
    assert (sheet[14:, :9] == 2).all() and (sheet[14:, 9:] == 255).all()
    assert contact_sheet(pictures[:1], 5).shape == (4, 6, 3)
    for wrong in ([], 2), (pictures, 0):
        with pytest.raises(ValueError, match='contact_sheet must not be'):
            contact_sheet(*wrong)
