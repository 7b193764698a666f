"""Which boxes a mask branch segments."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import AssignResult
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmseghead.models.roi_heads.mask_rois import (clip_boxes, distinct_rois,
                                                  positive_rois)


def test_boxes_are_cut_at_the_border():
    boxes = torch.tensor([[-3., 4., 200., 30.], [5., -9., 6., 90.],
                          [300., 200., 310., 220.], [1., 2., 3., 4.]])
    got = clip_boxes(boxes, (50, 80, 3))
    assert got.tolist() == [[0, 4, 80, 30], [5, 0, 6, 50], [80, 50, 80, 50],
                            [1, 2, 3, 4]]
    assert boxes[0, 0] == -3
    assert clip_boxes(boxes[:0], (50, 80)).shape == (0, 4)


def sampled(inds, num_gts, seed):
    """A result whose i-th box is positive for object ``inds[i]``, or none."""
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.rand(len(inds), 4, generator=generator) * 20
    boxes[:, 2:] += boxes[:, :2] + 20
    inds = torch.tensor(inds, dtype=torch.long)
    truth = torch.rand(num_gts, 4, generator=generator)
    assigned = AssignResult(num_gts, inds + 1, inds * 0.,
                            torch.zeros_like(inds))
    positive = (inds >= 0).nonzero()[:, 0]
    return boxes, SamplingResult(
        positive, (inds < 0).nonzero()[:, 0], boxes, truth, assigned,
        torch.zeros(len(inds), dtype=torch.uint8))


def truth(count):
    return InstanceData(
        masks=BitmapMasks(torch.zeros(count, 37, 53).byte().numpy(), 37, 53))


def test_positive_rois():
    a, first = sampled([1, -1, 0, 1], 2, 0)
    b, second = sampled([-1, -1], 0, 1)
    c, third = sampled([-1, 2], 3, 2)
    rois, inds, taken = positive_rois(
        [first, second, third], [truth(2), truth(0), truth(3)])
    want = clip_boxes(torch.cat([a[[0, 2, 3]], c[[1]]]), (37, 53))
    assert torch.equal(rois[:, 1:], want)
    assert rois[:, 0].tolist() == [0, 0, 0, 2]
    assert inds.tolist() == [1, 0, 1, 2]
    assert [rows.tolist() for rows in taken] == [[0, 1, 2], [], [0]]


def test_positive_rois_are_drawn_up_to_a_number():
    _, many = sampled([0, 1, -1, 2, 0, 1], 3, 0)
    _, few = sampled([1, -1], 2, 1)
    seen = set()
    for seed in range(20):
        torch.manual_seed(seed)
        rois, inds, taken = positive_rois([many, few], [truth(3), truth(2)], 2)
        assert rois[:, 0].tolist() == [0, 0, 1]
        rows = taken[0]
        assert rows.tolist() == sorted(set(rows.tolist()))
        assert torch.equal(
            rois[:2, 1:], clip_boxes(many.pos_priors[rows], (37, 53)))
        assert torch.equal(inds[:2], many.pos_assigned_gt_inds[rows])
        seen |= set(rows.tolist())
    assert seen == {0, 1, 2, 3, 4}


def test_no_positive_roi():
    _, none = sampled([-1, -1, -1], 0, 0)
    rois, inds, _ = positive_rois([none], [truth(0)])
    assert rois.shape == (0, 5) and inds.shape == (0, )


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), max_size=9),
       st.booleans())
def test_distinct_rois(kinds, with_key):
    """Boxes of few kinds, told apart by a further key or not."""
    rois = torch.tensor([[k, 1., 2., 3., 4.5] for k, _ in kinds]).view(-1, 5)
    keys = torch.tensor([k for _, k in kinds], dtype=torch.long)
    names = kinds if with_key else [k for k, _ in kinds]
    rows, places = distinct_rois(rois, *([keys] if with_key else []))
    assert rows.tolist() == sorted({names.index(n) for n in names})
    assert [names[rows[p]] for p in places.tolist()] == list(names)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64])
def test_distinct_rois_of_any_type(dtype):
    rois = torch.tensor([[0., 5, 6, 7, 8], [0., 1, 2, 3, 4]]).to(dtype)
    rows, places = distinct_rois(rois[[0, 1, 0, 1, 1]])
    assert rows.tolist() == [0, 1] and places.tolist() == [0, 1, 0, 1, 1]
