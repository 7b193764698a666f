"""Confusion counts and the quality of one image."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.evaluation.functional.mask_confusion import (confusion_counts,
                                                            image_quality)
from mmseghead.evaluation.functional.matching import Pairs, pair_instances


def test_counts_by_hand():
    # Right; of the wrong class; on nothing; on a crowd. Two are missed, one
    # of them ignored.
    pairs = Pairs(truth=np.array([0, 1, -1, 4]),
                  same_class=np.array([True, False, False, True]),
                  ignored=np.array([False, False, False, True]))
    counts = confusion_counts(
        pairs, np.array([2, 0, 1, 2]), np.array([2, 1, 1, 0, 2]),
        np.array([False, False, False, True, True]), 3)
    assert counts.tolist() == [
        [0, 0, 0, 0],
        [1, 0, 0, 1],
        [0, 0, 1, 0],
        [0, 1, 0, 0],
    ]


@st.composite
def scenes(draw):
    num_found, num_truth = draw(st.integers(0, 6)), draw(st.integers(0, 5))

    def ints(high, count):
        return np.array(draw(st.lists(st.integers(0, high), min_size=count,
                                      max_size=count)), int)

    ious = ints(10, num_found * num_truth).reshape(num_found, num_truth) / 10
    crowd = ints(4, num_truth) == 0
    return (ious, ints(2, num_found), ints(2, num_truth),
            crowd | (ints(4, num_truth) == 0), crowd)


@settings(deadline=None, max_examples=80)
@given(scenes())
def test_every_instance_and_detection_counts_once(scene):
    ious, found, truth, ignored, crowd = scene
    pairs = pair_instances(*scene)
    counts = confusion_counts(pairs, found, truth, ignored, 3)
    rows = [int((truth[~ignored] == k).sum()) for k in range(3)]
    columns = [int((found[~pairs.ignored] == k).sum()) for k in range(3)]
    assert counts[:3].sum(axis=1).tolist() == rows
    assert counts[:, :3].sum(axis=0).tolist() == columns
    right = pairs.same_class & ~pairs.ignored
    assert np.trace(counts[:3, :3]) == right.sum()
    assert counts[3, 3] == 0


@settings(deadline=None, max_examples=80)
@given(scenes())
def test_quality_is_panoptic_quality(scene):
    ious, found, truth, ignored, crowd = scene
    pairs = pair_instances(*scene)
    value = image_quality(pairs, ious, ignored)
    hits = [(d, g) for d, g in enumerate(pairs.truth)
            if pairs.same_class[d] and not pairs.ignored[d]]
    wrong = sum(not pairs.ignored[d] for d in range(len(found))) - len(hits)
    missed = sum(not flag for flag in ignored) - len(hits)
    bottom = len(hits) + wrong / 2 + missed / 2
    if bottom:
        expected = sum(ious[d, g] for d, g in hits) / bottom
        assert value == pytest.approx(expected)
    else:
        assert np.isnan(value)
