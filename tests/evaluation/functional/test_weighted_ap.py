"""Average precision under weights: copies of images, counted slowly."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.evaluation.functional.weighted_ap import (Ranking,
                                                         average_precision,
                                                         class_precisions,
                                                         nan_mean)


@st.composite
def rankings(draw):
    num_images, num_found = draw(st.integers(1, 5)), draw(st.integers(0, 12))

    def ints(low, high, count):
        return np.array(draw(st.lists(st.integers(low, high), min_size=count,
                                      max_size=count)), int)

    flags = [ints(0, 3, num_found) for _ in range(3)]
    # The second threshold shares its counted detections with the first.
    counted = np.array([flags[0] > 0, flags[0] > 0, flags[2] > 0])
    correct = np.array([flags[1] > 1, flags[1] > 2, flags[2] > 1])
    return Ranking(ints(0, num_images - 1, num_found),
                   correct.reshape(3, -1), counted.reshape(3, -1),
                   ints(0, 4, num_images))


def slow_precision(ranking, threshold, weights):
    """COCO's definition on copies of the images."""
    total = sum(n * int(w) for n, w in zip(ranking.num_truth, weights))
    if not total:
        return float('nan')
    curve, right, seen = [], 0, 0
    for d, image in enumerate(ranking.image):
        for _ in range(int(weights[image])):
            if ranking.counted[threshold][d]:
                seen += 1
                right += int(ranking.correct[threshold][d])
                curve.append((right / total, right / seen))
    precisions = []
    for k in range(101):
        after = [p for recall, p in curve
                 if recall >= np.linspace(0, 1, 101)[k]]
        precisions.append(max(after, default=0.0))
    return sum(precisions) / 101


@settings(deadline=None, max_examples=60)
@given(rankings(), st.data())
def test_weights_are_copies(ranking, data):
    count = len(ranking.num_truth)
    weights = np.array(data.draw(st.lists(st.lists(
        st.integers(0, 3), min_size=count, max_size=count), min_size=1,
        max_size=2)), int)
    result = average_precision(ranking, weights)
    assert result.shape == (len(weights), 3)
    for b, row in enumerate(weights):
        for t in range(3):
            expected = slow_precision(ranking, t, row)
            assert result[b, t] == pytest.approx(expected, abs=1e-9,
                                                 nan_ok=True)


def test_chunks_of_weights_join(monkeypatch):
    rng = np.random.default_rng(3)
    correct = rng.random((2, 40)) < 0.5
    ranking = Ranking(rng.integers(0, 6, 40), correct,
                      np.ones_like(correct), rng.integers(1, 9, 6))
    weights = rng.integers(0, 3, (11, 6))
    whole = average_precision(ranking, weights)
    module = average_precision.__globals__
    monkeypatch.setitem(module, '_MOST_CELLS', 120)
    assert np.array_equal(average_precision(ranking, weights), whole,
                          equal_nan=True)


def test_a_class_without_truth_is_left_out_of_the_mean():
    empty = Ranking(np.empty(0, int), np.zeros((1, 0), bool),
                    np.zeros((1, 0), bool), np.array([0, 0]))
    full = Ranking(np.array([0]), np.ones((1, 1), bool),
                   np.ones((1, 1), bool), np.array([1, 1]))
    table = class_precisions([empty, full], np.array([[1, 1], [0, 1]]))
    assert table.shape == (2, 2, 1)
    assert np.isnan(table[0]).all()
    # One of two found: recalls 0 to 0.5 of 101 are reached.
    assert nan_mean(table)[:, 0] == pytest.approx([51 / 101, 0.0])
    assert np.isnan(nan_mean(table[:1])).all()
