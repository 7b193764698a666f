"""Views of one image vote."""
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData

from mmseghead.functional.mask_rle import EncodedMasks, encode_mask
from mmseghead.functional.mask_voting import majority, rle_ious, vote

SIZE = (24, 31)


def disk(x, y, radius):
    rows, columns = np.mgrid[:SIZE[0], :SIZE[1]]
    return (columns - x)**2 + (rows - y)**2 <= radius**2


def view(*detections, masks=True):
    """Make a view of (mask, score, label)."""
    found = InstanceData(
        bboxes=torch.tensor([box(m) for m, _, _ in detections]).view(-1, 4),
        scores=torch.tensor([float(s) for _, s, _ in detections]),
        labels=torch.tensor([int(c) for _, _, c in detections]).long())
    if masks:
        found.masks = EncodedMasks([encode_mask(m) for m, _, _ in detections],
                                   SIZE)
    return found


def box(mask):
    rows, columns = np.nonzero(mask)
    return [columns.min(), rows.min(), columns.max() + 1., rows.max() + 1.]


def test_one_object_in_three_views():
    a, b, c = disk(10, 9, 5), disk(11, 9, 5), disk(10, 10, 5)
    merged = vote([view((a, .9, 0)), view((b, .6, 0)), view((c, .6, 0))])
    assert len(merged) == 1 and merged.labels.tolist() == [0]
    assert merged.scores.item() == pytest.approx(2.1 / 3)
    # Half of 2.1 is reached by a with any other, or by both others.
    wanted = (.9 * a + .6 * b + .6 * c) >= 1.05
    assert np.array_equal(merged.masks.decode(0), wanted)
    assert not np.array_equal(wanted, a)
    boxes = torch.tensor([box(m) for m in (a, b, c)])
    mean = (boxes * torch.tensor([.9, .6, .6])[:, None]).sum(0) / 2.1
    assert torch.allclose(merged.bboxes[0], mean)


def test_what_one_view_misses_loses():
    near, far = disk(6, 6, 4), disk(22, 14, 6)
    merged = vote([view((near, .8, 0), (far, .7, 0)), view((far, .7, 0))])
    assert merged.scores.tolist() == pytest.approx([.7, .4])
    assert np.array_equal(merged.masks.decode(0), far)
    assert np.array_equal(merged.masks.decode(1), near)


def test_classes_and_views_stay_apart():
    mask = disk(12, 12, 6)
    assert len(vote([view((mask, .8, 0)), view((mask, .7, 1))])) == 2
    # Two of one view are two objects, whatever their IoU.
    merged = vote([view((mask, .8, 0), (mask, .7, 0)), view((mask, .9, 0))])
    assert merged.scores.tolist() == pytest.approx([.85, .35])


def test_threshold_and_limit():
    a, b = disk(10, 10, 6), disk(14, 10, 6)
    iou = rle_ious([encode_mask(a)], [encode_mask(b)]).item()
    assert iou == pytest.approx((a & b).sum() / (a | b).sum())
    views = [view((a, .8, 0)), view((b, .7, 0))]
    assert len(vote(views, iou - .01)) == 1
    assert len(vote(views, iou + .01)) == 2
    assert len(vote(views, iou + .01, max_per_img=1)) == 1


def test_boxes_vote_where_there_are_no_masks():
    a, b = disk(10, 10, 6), disk(11, 10, 6)
    merged = vote([view((a, .8, 0), masks=False), view((b, .4, 0),
                                                       masks=False)])
    assert 'masks' not in merged
    assert merged.bboxes.tolist()[0] == pytest.approx(
        [4 + 1 / 3, 4, 17 + 1 / 3, 17])


@pytest.mark.parametrize('number', [1, 3])
def test_nothing_found(number):
    merged = vote([view() for _ in range(number)])
    assert len(merged) == 0 and merged.masks.shape == (0, *SIZE)
    assert merged.bboxes.shape == (0, 4)
    mixed = vote([view()] * number + [view((disk(5, 5, 3), .5, 2))])
    assert mixed.labels.tolist() == [2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 23),
                          st.integers(1, 9), st.floats(0, 1)),
                min_size=1, max_size=5))
def test_majority_is_the_weighted_vote(disks):
    masks = [disk(x, y, r) for x, y, r, _ in disks]
    weights = [weight for *_, weight in disks]
    found = EncodedMasks([
        majority([encode_mask(m) for m in masks], weights)], SIZE).decode(0)
    if not sum(weights):
        weights = [1.] * len(weights)
    if len(masks) == 1:
        assert np.array_equal(found, masks[0])
        return
    votes = sum(w * m.astype(float) for w, m in zip(weights, masks))
    margin = abs(votes - sum(weights) / 2) > 1e-6
    assert np.array_equal(found[margin],
                          (votes >= sum(weights) / 2)[margin])


def test_majority_of_empty_masks():
    empty = encode_mask(np.zeros(SIZE, bool))
    assert majority([empty, empty], [.5, .5]) == empty
