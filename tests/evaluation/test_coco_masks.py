"""Masks of COCO JSON, good ones and bad ones."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_api

from mmseghead.evaluation.coco_masks import run_lengths, to_rle
from mmseghead.testing.coco_scene import encode


def slow_runs(mask):
    """Runs of background and object in turns, column by column."""
    runs, current = [0], False
    for value in mask.ravel(order='F'):
        if bool(value) != current:
            runs.append(0)
            current = bool(value)
        runs[-1] += 1
    return runs


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 23), st.floats(0, 1),
       st.integers(0, 10**6))
def test_runs_equal_the_pixels(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < share
    counts = encode(mask)['counts'].encode()
    assert run_lengths(counts).tolist() == slow_runs(mask)


def test_long_runs():
    for height, width in ((3000, 2100), (1, 1), (5, 7000)):
        for mask in (np.zeros((height, width), bool),
                     np.ones((height, width), bool)):
            mask[height // 2, width // 2] ^= True
            counts = encode(mask)['counts'].encode()
            assert run_lengths(counts).sum() == height * width
            assert run_lengths(counts)[1::2].sum() == mask.sum()


def test_all_forms_of_one_mask_are_equal():
    mask = np.zeros((6, 9), bool)
    mask[1:4, 2:7] = True
    rle = encode(mask)
    forms = [rle, dict(rle, counts=rle['counts'].encode()),
             dict(size=[6, 9], counts=slow_runs(mask)),
             [[2, 1, 7, 1, 7, 4, 2, 4]]]
    for form in forms:
        result = to_rle('here', form, 6, 9)
        assert np.array_equal(mask_api.decode(result), mask)
        assert result['counts'] == rle['counts'].encode()
        assert list(result['size']) == [6, 9]


def test_polygons_join():
    two = [[0, 0, 3, 0, 3, 2, 0, 2], [5, 3, 8, 3, 8, 5, 5, 5]]
    parts = [mask_api.decode(to_rle('here', [one], 6, 9)) for one in two]
    whole = mask_api.decode(to_rle('here', two, 6, 9))
    assert np.array_equal(whole, parts[0] | parts[1])
    assert whole.sum() == 12


GOOD = encode(np.ones((6, 9), bool))


@pytest.mark.parametrize('segmentation, message', [
    (None, 'have a `segmentation`'),
    ([], 'have a `segmentation`'),
    ('abc', 'have a `segmentation`'),
    (dict(GOOD, size=[9, 6]), r'\[6, 9\] like its image, got \[9, 6\]'),
    (dict(counts=GOOD['counts']), r'\[6, 9\] like its image, got None'),
    (dict(size=[6, 9]), 'add up to 6 . 9 pixels, got None'),
    (dict(size=[6, 9], counts=''), 'add up to'),
    (dict(size=[6, 9], counts='zzz'), 'add up to'),
    (dict(size=[6, 9], counts='0' + chr(200)), 'add up to'),
    # A number that goes on for ever, and one that is cut.
    (dict(size=[6, 9], counts='o' * 9 + '0'), 'add up to'),
    (dict(size=[6, 9], counts='0o'), 'add up to'),
    (dict(size=[6, 9], counts=GOOD['counts'] + '1'), 'add up to'),
    (dict(size=[6, 9], counts=[0, 53]), 'add up to'),
    (dict(size=[6, 9], counts=[60, -6]), 'add up to'),
    (dict(size=[6, 9], counts=['a']), 'add up to'),
    ([[1, 2, 3, 4]], 'polygons of three points'),
    ([[1, 2, 3, 4, 5]], 'polygons of three points'),
    ([[1, 2, 3, 4, 5, 6, 7]], 'polygons of three points'),
    ([[1, 2, 3, 4, 5, float('nan')]], 'polygons of three points'),
    ([[1, 2, 3, 4, 5, 1e12]], 'polygons of three points'),
    ([[1, 2, 3, 4, 5, '6']], 'polygons of three points'),
    ([1, 2, 3, 4, 5, 6], 'polygons of three points'),
])
def test_bad_masks_are_named(segmentation, message):
    with pytest.raises(ValueError, match=f'^Entry 7 must .*{message}'):
        to_rle('Entry 7', segmentation, 6, 9)
