"""Matching, against the loop of COCO's evaluation written out slowly."""
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.evaluation.functional.matching import (IOU_THRESHOLDS,
                                                      match_detections,
                                                      pair_instances)


def slow_match(ious, threshold, ignored, crowd):
    """One threshold, one detection, one instance at a time."""
    order = sorted(range(len(ignored)), key=lambda g: ignored[g])
    free = {g: True for g in order}
    matched = []
    for row in ious:
        best, overlap = -1, min(threshold, 1 - 1e-10)
        for g in order:
            if not free[g] and not crowd[g]:
                continue
            if best >= 0 and not ignored[best] and ignored[g]:
                break
            if row[g] >= overlap:
                best, overlap = g, row[g]
        matched.append(best)
        if best >= 0:
            free[best] = False
    return matched


@st.composite
def overlaps(draw):
    num_found, num_truth = draw(st.integers(0, 7)), draw(st.integers(0, 5))
    # Few values: ties and overlaps at a threshold are the hard cases.
    values = st.sampled_from([0.0, 0.3, 0.5, 0.55, 0.7, 0.75, 0.95, 1.0])
    ious = [[draw(values) for _ in range(num_truth)]
            for _ in range(num_found)]
    return np.array(ious, float).reshape(num_found, num_truth)


@settings(deadline=None, max_examples=60)
@given(overlaps(), st.data())
def test_match_equals_the_loop(ious, data):
    num_truth = ious.shape[1]
    flags = st.lists(st.booleans(), min_size=num_truth, max_size=num_truth)
    crowd = np.array(data.draw(flags), bool)
    ignored = np.array([data.draw(flags) for _ in IOU_THRESHOLDS],
                       bool).reshape(len(IOU_THRESHOLDS), -1) | crowd
    matched = match_detections(ious, IOU_THRESHOLDS, ignored, crowd)
    assert matched.shape == (len(IOU_THRESHOLDS), len(ious))
    for t, threshold in enumerate(IOU_THRESHOLDS):
        assert matched[t].tolist() == slow_match(ious, threshold, ignored[t],
                                                 crowd)


def no_flags(count):
    return np.zeros(count, bool), np.zeros(count, bool)


def test_a_pair_across_classes_needs_an_instance_that_nobody_found():
    # The first detection lies better on instance 0, but has another class.
    ious = np.array([[0.9, 0.0], [0.6, 0.0], [0.0, 0.8]])
    found, truth = np.array([1, 0, 0]), np.array([0, 1])
    pairs = pair_instances(ious, found, truth, *no_flags(2))
    assert pairs.truth.tolist() == [-1, 0, 1]
    assert pairs.same_class.tolist() == [False, True, False]
    assert not pairs.ignored.any()


def test_detections_on_crowds_of_their_class_do_not_count():
    ious = np.array([[0.9], [0.8], [0.7]])
    crowd = np.array([True])
    pairs = pair_instances(ious, np.array([0, 0, 1]), np.array([0]), crowd,
                           crowd)
    assert pairs.ignored.tolist() == [True, True, False]
    assert pairs.truth.tolist() == [0, 0, -1]


@settings(deadline=None, max_examples=60)
@given(overlaps(), st.data())
def test_pairs_are_one_to_one(ious, data):
    num_found, num_truth = ious.shape

    def labels(count):
        return np.array(data.draw(st.lists(
            st.integers(0, 2), min_size=count, max_size=count)), int)

    found, truth = labels(num_found), labels(num_truth)
    pairs = pair_instances(ious, found, truth, *no_flags(num_truth))
    hits = pairs.truth[pairs.truth >= 0]
    assert len(set(hits)) == len(hits)
    for d in np.flatnonzero(pairs.truth >= 0):
        assert ious[d, pairs.truth[d]] >= 0.5
        assert pairs.same_class[d] == (found[d] == truth[pairs.truth[d]])
    # What is left on both sides does not fit, of whatever classes.
    left = np.setdiff1d(np.arange(num_truth), hits)
    for d in np.flatnonzero(pairs.truth < 0):
        assert (ious[d, left] < 0.5).all()
