"""The colouring of overlapping boxes."""
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional.box_coloring import color_boxes


def _overlap(a, b):
    return (min(a[2], b[2]) > max(a[0], b[0])
            and min(a[3], b[3]) > max(a[1], b[1]))


def _slow(boxes):
    """Largest-First as the definition says, with sets."""
    neighbors = [{
        j
        for j, other in enumerate(boxes) if j != i and _overlap(box, other)
    } for i, box in enumerate(boxes)]
    colors = {}
    for i in sorted(range(len(boxes)), key=lambda i: (-len(neighbors[i]), i)):
        taken = {colors[j] for j in neighbors[i] if j in colors}
        colors[i] = next(c for c in range(len(boxes)) if c not in taken)
    return [colors[i] for i in range(len(boxes))], neighbors


_BOXES = st.lists(
    st.tuples(
        st.integers(0, 40), st.integers(0, 30), st.integers(0, 25),
        st.integers(0, 20)).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]
                                           )),
    max_size=30)


@settings(max_examples=120, deadline=None)
@given(_BOXES)
def test_equals_the_definition(boxes):
    colors = color_boxes(torch.tensor(boxes).reshape(-1, 4).float()).tolist()
    wanted, neighbors = _slow(boxes)
    assert colors == wanted
    for i, others in enumerate(neighbors):
        assert colors[i] not in {colors[j] for j in others}
    degree = max(map(len, neighbors), default=0)
    assert max(colors, default=0) <= degree


@pytest.mark.parametrize('boxes, count', [
    ([(0, 0, 4, 4), (5, 5, 9, 9), (10, 0, 14, 4)], 1),
    ([(0, 0, 4, 4), (4, 0, 8, 4)], 1),
    ([(0, 0, 4, 4), (3, 0, 7, 4), (6, 0, 10, 4), (9, 0, 13, 4)], 2),
    ([(1, 1, 5, 5)] * 7, 7),
    ([(0, 0, 20, 20), (1, 1, 3, 3), (5, 5, 7, 7), (9, 9, 11, 11)], 2),
])
def test_examples(boxes, count):
    colors = color_boxes(torch.tensor(boxes).float())
    assert colors.unique().tolist() == list(range(count))


def test_no_boxes():
    assert color_boxes(torch.zeros(0, 4)).tolist() == []
