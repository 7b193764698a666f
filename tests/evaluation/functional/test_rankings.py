"""Joining images, and the score of the best F1."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.evaluation.functional.rankings import (ImageMatches,
                                                      best_threshold,
                                                      rank_images)
from mmseghead.evaluation.functional.weighted_ap import Ranking


def image(labels, scores, matched, num_truth):
    matched = np.array(matched)[None, None]  # (1, 1, D)
    return ImageMatches(np.array(labels, int), np.array(scores, float),
                        matched, np.ones(matched.shape, bool),
                        np.array([num_truth]))


def test_rank_joins_by_class_and_score():
    first = image([0, 1, 0], [0.9, 0.8, 0.3], [0, -1, -1], [1, 2])
    second = image([1, 0], [0.8, 0.5], [0, 1], [3, 0])
    (zero, one), = rank_images([first, second])
    assert zero.image.tolist() == [0, 1, 0]
    assert zero.correct.tolist() == [[True, True, False]]
    assert zero.num_truth.tolist() == [1, 3]
    # Of equal scores the earlier image comes first.
    assert one.image.tolist() == [0, 1]
    assert one.correct.tolist() == [[False, True]]
    assert one.num_truth.tolist() == [2, 0]


def test_a_threshold_keeps_all_detections_of_a_score():
    scores = np.array([0.9, 0.5, 0.5, 0.5, 0.5, 0.5])
    right = np.array([[True, True, False, False, False, False]])
    ranking = Ranking(np.zeros(6, int), right, np.ones_like(right),
                      np.array([2]))
    # Both right ones come with four wrong ones: F1 falls from 2/3 to 1/2.
    assert best_threshold([ranking], [scores]) == 0.9


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()),
                max_size=9), st.integers(0, 5))
def test_best_threshold_equals_trying_all(rows, missed):
    rows = sorted(rows, key=lambda row: -row[0])
    scores = np.array([row[0] for row in rows], float)
    right = np.array([row[1] for row in rows], bool)
    counted = right | np.array([row[2] for row in rows], bool)
    total = int(right.sum()) + missed
    # Two classes, every other detection each.
    halves = [np.arange(start, len(rows), 2) for start in (0, 1)]
    rankings = [
        Ranking(np.zeros(len(half), int), right[half][None],
                counted[half][None], np.array([total if k == 0 else 0]))
        for k, half in enumerate(halves)
    ]
    value = best_threshold(rankings, [scores[half] for half in halves])
    tried = {}
    for score in set(scores):
        kept = scores >= score
        hits = (right & kept).sum()
        tried[score] = 2 * hits / max((counted & kept).sum() + total, 1)
    if not right.any():
        assert value == 0.5
    else:
        assert tried[value] >= max(tried.values()) - 1e-12
        assert value == max(score for score, f1 in tried.items()
                            if f1 >= tried[value] - 1e-12)
