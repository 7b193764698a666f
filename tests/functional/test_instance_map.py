"""Masks painted over each other."""
import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mmseghead.functional.instance_map import paint_instances


def slow_paint(masks, overlap):
    """Give each pixel to the smallest, or last, mask that claims it."""
    areas = masks.flatten(1).sum(1).tolist()
    owner = torch.full(masks.shape[1:], -1)
    for row in range(masks.shape[1]):
        for column in range(masks.shape[2]):
            claims = masks[:, row, column].nonzero().flatten().tolist()
            if not claims:
                continue
            if overlap == 'last_on_top':
                owner[row, column] = claims[-1]
            else:
                owner[row, column] = min(claims, key=lambda k: (areas[k], -k))
    visible = sorted(set(owner.flatten().tolist()) - {-1})
    painted = torch.zeros_like(owner)
    for number, k in enumerate(visible, 1):
        painted[owner == k] = number
    return painted, visible


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(0, 6),
    st.sampled_from(['small_on_top', 'last_on_top']))
def test_equals_a_slow_loop(seed, number, overlap):
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(number, 1, 1, generator=generator)
    masks = torch.rand(number, 3, 5, generator=generator) < share
    painted, visible = paint_instances(masks.to(torch.uint8), overlap)
    wanted, seen = slow_paint(masks, overlap)
    assert torch.equal(painted, wanted)
    assert visible.tolist() == seen
    assert painted.dtype == visible.dtype == torch.long


def test_hidden_instances_are_dropped():
    masks = torch.zeros(3, 4, 6, dtype=torch.bool)
    masks[0, 1:3, 1:3] = True
    masks[2, :, :4] = True
    painted, visible = paint_instances(masks, 'last_on_top')
    assert visible.tolist() == [2]
    assert torch.equal(painted, masks[2].long())
    painted, visible = paint_instances(masks)
    assert visible.tolist() == [0, 2]
    assert painted[1, 1] == 1 and painted[0, 0] == 2


def test_more_than_255_instances():
    masks = torch.eye(400, dtype=torch.uint8).view(400, 16, 25)
    painted, visible = paint_instances(masks)
    assert painted.max() == 400 and len(visible) == 400


def test_unknown_order():
    with pytest.raises(ValueError, match='`overlap` of paint_instances'):
        paint_instances(torch.zeros(0, 2, 3), 'first_on_top')
