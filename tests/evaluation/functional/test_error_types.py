"""Error types: hand-made cases, and gains counted slowly."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.evaluation.functional.error_types import (BACKGROUND, BOTH,
                                                         CLASSIFICATION,
                                                         DUPLICATE, KINDS,
                                                         LOCALISATION, ORACLES,
                                                         RIGHT, ImageErrors,
                                                         classify_errors,
                                                         count_errors, mend)
from mmseghead.evaluation.functional.weighted_ap import (average_precision,
                                                         nan_mean)


def classify(ious, labels, truth_labels, matched):
    count = len(labels)
    return classify_errors(
        np.array(ious, float).reshape(count, len(truth_labels)),
        np.linspace(0.9, 0.1, count), np.array(labels, int),
        np.array(truth_labels, int), np.array(matched, int))


@pytest.mark.parametrize('ious, label, matched, kind, target', [
    ([[0.7, 0.0]], 0, 0, RIGHT, 0),
    ([[0.3, 0.0]], 0, -1, LOCALISATION, 0),
    # The lower end of localisation belongs to it.
    ([[0.1, 0.0]], 0, -1, LOCALISATION, 0),
    ([[0.7, 0.0]], 1, -1, CLASSIFICATION, 0),
    ([[0.5, 0.0]], 1, -1, CLASSIFICATION, 0),
    ([[0.3, 0.0]], 1, -1, BOTH, -1),
    ([[0.09, 0.0]], 0, -1, BACKGROUND, -1),
    # The upper end of background belongs to it.
    ([[0.1, 0.0]], 1, -1, BACKGROUND, -1),
    # Of its own class badly placed, of the other well: it is misplaced.
    ([[0.3, 0.8]], 0, -1, LOCALISATION, 0),
])
def test_kinds_of_one_detection(ious, label, matched, kind, target):
    errors = classify(ious, [label], [0, 1], [matched])
    assert errors.kinds.tolist() == [kind]
    assert errors.targets.tolist() == [target]


def test_a_second_detection_is_a_duplicate():
    errors = classify([[0.9], [0.8]], [0, 0], [0], [0, -1])
    assert errors.kinds.tolist() == [RIGHT, DUPLICATE]
    assert errors.taken.tolist() == [True]
    assert not errors.missed.any()


def test_without_truth_all_is_background():
    errors = classify([], [0, 1], [], [-1, -1])
    assert errors.kinds.tolist() == [BACKGROUND, BACKGROUND]


def test_missed_is_what_no_other_error_explains():
    ious = [[0.7, 0.0, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.3]]
    errors = classify(ious, [1, 0, 1], [0, 0, 0], [-1, -1, -1])
    assert errors.kinds.tolist() == [CLASSIFICATION, LOCALISATION, BOTH]
    assert errors.missed.tolist() == [False, False, True]
    assert count_errors([errors]) == dict(
        classification=1, localisation=1, both=1, duplicate=0, background=0,
        missed=1)


def gains(images, num_classes):
    """Return oracle -> gain of the mean average precision."""
    weights = np.ones((1, len(images)), int)

    def values(oracle):
        table = np.stack([average_precision(item, weights)
                          for item in mend(images, num_classes, oracle)])
        return table[:, 0, 0]

    plain = values('')
    return {
        oracle: float(nan_mean(np.where(np.isnan(values(oracle)), plain,
                                        values(oracle))) - nan_mean(plain))
        for oracle in ORACLES
    }


def test_gains_by_hand():
    # Two instances of class 0; one found (0.9), the other misplaced (0.5);
    # a background detection in front of it (0.7).
    ious = [[0.9, 0.0], [0.0, 0.0], [0.0, 0.4]]
    errors = classify(ious, [0, 0, 0], [0, 0], [0, -1, -1])
    result = gains([errors], 1)
    # AP now: precision 1 up to a recall of 0.5, 51 of 101 recalls.
    assert result['background'] == pytest.approx(0)
    # With it: the second one found in third place, precision 2 / 3.
    assert result['localisation'] == pytest.approx(50 / 101 * 2 / 3)
    assert result['missed'] == pytest.approx(0)
    assert result['all false negatives'] == pytest.approx(50 / 101)
    assert result['all false positives'] == pytest.approx(0)


def test_only_the_surest_detection_is_mended():
    # Three misplaced ones around one instance: one finds it, two vanish.
    errors = classify([[0.2], [0.4], [0.3]], [0, 0, 0], [0], [-1, -1, -1])
    (ranking, ) = mend([errors], 1, 'localisation')
    assert ranking.correct.tolist() == [[True]]
    assert gains([errors], 1)['localisation'] == pytest.approx(1)
    # The surest one: it comes before the background detection.
    errors = classify([[0.2], [0.0], [0.4]], [0, 0, 0], [0], [-1, -1, -1])
    (ranking, ) = mend([errors], 1, 'localisation')
    assert ranking.correct.tolist() == [[True, False]]


def test_a_found_instance_is_not_found_again():
    # A detection of the wrong class on an instance that was found.
    errors = classify([[0.9], [0.8]], [0, 1], [0], [0, -1])
    assert errors.kinds.tolist() == [RIGHT, CLASSIFICATION]
    first, second = mend([errors], 2, 'classification')
    assert first.correct.tolist() == [[True]]
    assert second.correct.shape == (1, 0)


def test_unknown_oracles_are_refused():
    with pytest.raises(ValueError, match='`oracle` of mend .* got .luck.'):
        mend([], 1, 'luck')


@st.composite
def images(draw, num_classes=3):
    """Errors of an image in any combination that can occur."""
    num_truth, num_found = draw(st.integers(0, 4)), draw(st.integers(0, 6))
    truth = [draw(st.integers(0, num_classes - 1)) for _ in range(num_truth)]
    labels = [draw(st.integers(0, num_classes - 1)) for _ in range(num_found)]
    values = st.sampled_from([0.0, 0.05, 0.1, 0.3, 0.5, 0.7])
    ious = np.array([[draw(values) for _ in truth] for _ in labels],
                    float).reshape(num_found, num_truth)
    matched, used = [], set()
    for d, label in enumerate(labels):
        fits = [g for g in range(num_truth) if g not in used and
                truth[g] == label and ious[d, g] >= 0.5]
        matched.append(max(fits, key=lambda g: ious[d, g], default=-1))
        used.add(matched[-1])
    scores = draw(st.permutations(range(num_found)))
    scores = sorted(scores, reverse=True)
    return classify_errors(ious, np.array(scores, float) / 10,
                           np.array(labels, int), np.array(truth, int),
                           np.array(matched, int))


def slow_mend(image: ImageErrors, oracle):
    """Return [score, label, right] of what is left, and labels to find."""
    kept, given = [], set()
    wanted = list(range(len(image.taken)))
    if oracle == 'missed':
        wanted = [g for g in wanted if image.taken[g] or any(
            t == g and k in (CLASSIFICATION, LOCALISATION)
            for t, k in zip(image.targets, image.kinds))]
    if oracle == 'all false negatives':
        wanted = [g for g in wanted if image.taken[g]]
    order = sorted(range(len(image.scores)), key=lambda d: -image.scores[d])
    for d in order:
        kind, target = image.kinds[d], image.targets[d]
        row = [image.scores[d], image.labels[d], kind == RIGHT]
        if kind == RIGHT:
            kept.append(row)
        elif oracle == 'all false positives':
            continue
        elif KINDS[kind] != oracle:
            kept.append(row)
        elif kind in (CLASSIFICATION, LOCALISATION) and not \
                image.taken[target] and target not in given:
            given.add(target)
            kept.append([row[0], image.truth_labels[target], True])
    return kept, [image.truth_labels[g] for g in wanted]


@settings(deadline=None, max_examples=60)
@given(st.lists(images(), min_size=1, max_size=3), st.sampled_from(ORACLES))
def test_mend_equals_the_loop(items, oracle):
    # Scores that differ everywhere: the order is then part of the result.
    items = [item._replace(scores=item.scores + 0.01 * i)
             for i, item in enumerate(items)]
    rankings = mend(items, 3, oracle)
    for k, ranking in enumerate(rankings):
        expected = []
        for i, item in enumerate(items):
            kept, wanted = slow_mend(item, oracle)
            assert ranking.num_truth[i] == wanted.count(k)
            expected += [(-row[0], i, row[2]) for row in kept if row[1] == k]
        expected = [(i, right) for _, i, right in sorted(expected)]
        assert list(zip(ranking.image, ranking.correct[0])) == expected
        assert ranking.counted.all()
    assert gains(items, 3)[oracle] >= -1e-12 or np.isnan(
        gains(items, 3)[oracle])
