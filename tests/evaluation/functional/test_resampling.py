"""Draws of images and intervals of differences."""
import numpy as np
import pytest

from mmseghead.evaluation.functional.resampling import (image_weights,
                                                        paired_difference)


def test_draws_are_of_the_same_size_and_repeatable():
    weights = image_weights(7, 50, seed=3)
    assert weights.shape == (51, 7)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 7).all()
    assert len(np.unique(weights[1:], axis=0)) > 40
    assert np.array_equal(weights, image_weights(7, 50, seed=3))
    assert not np.array_equal(weights, image_weights(7, 50, seed=4))


def test_draws_follow_the_multinomial_distribution():
    weights = image_weights(5, 4000)[1:]
    assert weights.mean(axis=0) == pytest.approx(np.ones(5), abs=0.1)
    # Variance of a binomial of 5 draws with a share of 1 / 5.
    assert weights.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.1)


def test_the_interval_is_that_of_the_differences():
    a = np.append(0.4, np.zeros(101))
    b = np.append(0.5, np.linspace(-0.1, 0.9, 101))
    item = paired_difference(a, b, confidence=0.9)
    assert item[:3] == pytest.approx((0.4, 0.5, 0.1))
    assert (item.low, item.high) == pytest.approx((-0.05, 0.85))
    # 90 above 0 of 101, and one tie.
    assert item.share_higher == pytest.approx(90.5 / 101)
    assert not item.clear
    assert paired_difference(a, np.append(0.5, np.full(101, 0.1))).clear
    assert paired_difference(np.append(0.5, np.full(101, 0.1)), a).clear


def test_pairs_cancel_what_both_share():
    shared = np.random.default_rng(0).normal(size=300)
    item = paired_difference(shared, shared + 0.01)
    assert item.high - item.low < 1e-9
    assert item.low == pytest.approx(0.01)


def test_what_is_not_defined_stays_so():
    nan = np.full(4, np.nan)
    item = paired_difference(nan, np.ones(4))
    assert item == (None, 1.0, None, None, None, None)
    assert not item.clear
    # Resamples without anything to measure are left out.
    part = np.array([0.0, 1.0, np.nan, 3.0])
    assert paired_difference(part, part + 2).low == pytest.approx(2)
    assert paired_difference(part, part + 2, num_images=2).high == 2
    assert paired_difference(part, part + 2, num_images=1)[2:] == (
        2.0, None, None, None)
    alone = np.array([0.5, np.nan, np.nan])
    assert paired_difference(alone, alone)[2:] == (0.0, None, None, None)
