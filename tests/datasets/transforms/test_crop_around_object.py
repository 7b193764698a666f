"""Crops around objects."""
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmseghead.datasets.transforms import CropAroundObject


def sample(height=30, width=50, places=((5, 7), (20, 44)), radius=3,
           ignored=()):
    """Return an image whose values name the pixel, with disks."""
    y, x = np.mgrid[:height, :width]
    image = np.stack((y, x, y + x), 2).astype(np.uint8)
    masks = np.zeros((len(places), height, width), np.uint8)
    for mask, (row, column) in zip(masks, places):
        mask[(y - row)**2 + (x - column)**2 <= radius**2] = 1
    masks = BitmapMasks(masks, height, width)
    flags = np.zeros(len(places), bool)
    flags[list(ignored)] = True
    return dict(
        img=image,
        img_shape=(height, width),
        gt_masks=masks,
        gt_bboxes=masks.get_bboxes('hbox') if len(places) else
        HorizontalBoxes(np.zeros((0, 4), np.float32)),
        gt_bboxes_labels=np.arange(len(places)),
        gt_ignore_flags=flags)


def window_of(results):
    """Return x1, y1, x2, y2 of the crop, read from the image."""
    image = results['img'].astype(int)
    return (image[0, 0, 1], image[0, 0, 0], image[-1, -1, 1] + 1,
            image[-1, -1, 0] + 1)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 40), st.integers(1, 60),
    st.sampled_from([0., .3]), st.sampled_from([0., 1.]))
def test_everything_is_cropped_alike(seed, height, width, jitter, prob):
    np.random.seed(seed)
    before = sample()
    masks = before['gt_masks'].masks.copy()
    after = CropAroundObject((width, height), jitter, prob)(before)
    x1, y1, x2, y2 = window_of(after)
    assert (y2 - y1, x2 - x1) == (min(height, 30), min(width, 50))
    assert after['img_shape'] == after['img'].shape[:2] == (y2 - y1, x2 - x1)
    masks = masks[:, y1:y2, x1:x2]
    seen = masks.any((1, 2))
    assert np.array_equal(after['gt_masks'].masks, masks[seen])
    assert after['gt_masks'].height == y2 - y1
    assert after['gt_masks'].width == x2 - x1
    assert after['gt_bboxes_labels'].tolist() == seen.nonzero()[0].tolist()
    assert len(after['gt_ignore_flags']) == seen.sum()
    for box, mask in zip(after['gt_bboxes'].tensor.tolist(), masks[seen]):
        rows, columns = mask.nonzero()
        assert box == [
            columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        ]
    if prob and not jitter:
        assert seen.any()


def test_the_window_is_centred_on_an_instance():
    windows = set()
    for seed in range(20):
        np.random.seed(seed)
        places = ((12, 20), (15, 33))
        windows.add(window_of(CropAroundObject((9, 11))(sample(places=places))
                              ))
    # Around (20.5, 12.5) and (33.5, 15.5), x before y.
    assert windows == {(16, 7, 25, 18), (29, 10, 38, 21)}


def test_the_window_stays_in_the_image():
    for seed in range(10):
        np.random.seed(seed)
        after = CropAroundObject((20, 16))(sample())
        assert window_of(after) in {(0, 0, 20, 16), (30, 12, 50, 28)}


def test_ignored_instances_attract_no_window():
    for seed in range(10):
        np.random.seed(seed)
        after = CropAroundObject((20, 16))(sample(ignored=[0]))
        assert window_of(after) == (30, 12, 50, 28)


def test_jitter_moves_the_window():
    windows = set()
    for seed in range(30):
        np.random.seed(seed)
        single = sample(places=((15, 25), ))
        windows.add(window_of(CropAroundObject((10, 8), .2)(single)))
    lefts = {window[0] for window in windows}
    assert lefts == {18, 19, 20, 21, 22}  # up to two pixels either way


@pytest.mark.parametrize('places', [(), ((5, 7), )], ids=['none', 'ignored'])
def test_without_instances_the_window_is_anywhere(places):
    windows = set()
    for seed in range(40):
        np.random.seed(seed)
        empty = sample(places=places, ignored=range(len(places)))
        after = CropAroundObject((47, 28))(empty)
        windows.add(window_of(after)[:2])
        assert len(after['gt_bboxes']) == len(after['gt_masks'])
    assert windows == {(x, y) for x in range(4) for y in range(3)}


def test_an_image_without_annotations():
    np.random.seed(0)
    after = CropAroundObject((20, 10))(dict(img=sample()['img']))
    assert after['img'].shape == (10, 20, 3)


def test_one_pixel():
    after = CropAroundObject((5, 5))(sample(1, 1, ((0, 0), )))
    assert after['img'].shape == (1, 1, 3)
    assert after['gt_bboxes'].tensor.tolist() == [[0, 0, 1, 1]]


@pytest.mark.parametrize('name, changes', [
    ('crop_size', dict(crop_size=(0, 4))), ('crop_size', dict(crop_size=(4, ))
                                            ),
    ('jitter', dict(jitter=-.1)), ('prob', dict(prob=1.5))
])
def test_bad_arguments(name, changes):
    with pytest.raises(ValueError, match=f'`{name}` of CropAroundObject'):
        CropAroundObject(**dict(dict(crop_size=(4, 6)), **changes))


def test_it_says_what_it_does():
    assert repr(CropAroundObject((4, 6), .5)) == (
        'CropAroundObject(crop_size=(4, 6), jitter=0.5, prob=1.0)')
