"""Bands around an outline, with distances measured pixel by pixel."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.evaluation.functional.boundary_bands import (band_ious,
                                                            band_names,
                                                            outline_distance)
from mmseghead.testing.coco_scene import random_mask


def slow_distance(mask):
    padded = np.pad(mask, 1)
    sides = {side: np.argwhere(padded == side) for side in (True, False)}
    result = np.zeros(mask.shape)
    for y, x in np.ndindex(mask.shape):
        others = sides[not mask[y, x]]
        result[y, x] = np.sqrt(
            ((others - (y + 1, x + 1))**2).sum(axis=1)).min()
    return result


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10**6))
def test_distance_equals_the_loop(seed):
    mask = random_mask(np.random.default_rng(seed))
    assert outline_distance(mask) == pytest.approx(
        slow_distance(mask), abs=1e-3)


def test_a_full_mask_has_an_outline_at_the_border():
    distance = outline_distance(np.ones((5, 7), bool))
    assert distance[0].tolist() == [1] * 7
    assert distance[2, 3] == 3


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10**6))
def test_bands_equal_the_loop(seed):
    rng = np.random.default_rng(seed)
    truth, mask = random_mask(rng), random_mask(rng)
    limits, diagonal = (0.02, 0.05), 70.0
    distance = slow_distance(truth)
    result = band_ious(truth, mask, diagonal, limits)
    edges = [0, 1.4, 3.5, np.inf]
    for k in range(3):
        inside = (distance > edges[k]) & (distance <= edges[k + 1])
        either = (inside & (truth | mask)).sum()
        if either:
            both = (inside & truth & mask).sum()
            assert result[k] == pytest.approx(both / either)
        else:
            assert np.isnan(result[k])


def test_an_excerpt_will_do():
    rng = np.random.default_rng(5)
    truth, mask = random_mask(rng), random_mask(rng)
    rows, columns = np.nonzero(truth | mask)
    part = np.s_[rows.min():rows.max() + 1, columns.min():columns.max() + 1]
    whole = band_ious(truth, mask, 64.0)
    assert band_ious(truth[part], mask[part], 64.0) == pytest.approx(
        whole, nan_ok=True)


def test_equal_masks_agree_and_errors_stay_in_their_band():
    truth = np.zeros((40, 50), bool)
    truth[10:30, 12:38] = True
    assert band_ious(truth, truth, 200.0, (0.01, 0.02)).tolist() == [1, 1, 1]
    hole = truth.copy()
    hole[18:22, 20:30] = False
    near, middle, far = band_ious(truth, hole, 200.0, (0.01, 0.02))
    assert (near, middle) == (1, 1) and far < 1
    # Five pixels of an image are never less than one.
    thin = band_ious(truth, truth[::-1, ::-1], 5.0, (0.01, 0.02))
    assert not np.isnan(thin[0]) and np.isnan(thin[1])


def test_names():
    assert band_names((0.01, 0.025)) == ['0-1 %', '1-2.5 %', 'beyond 2.5 %']
