"""Outlines along pixel edges."""
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_api

from mmseghead.functional.outlines import (bridge_outlines, clip_outline,
                                           ellipse_outline, mask_outlines,
                                           simplify_outline)


@st.composite
def masks(draw, max_size=9):
    height, width = draw(st.integers(1, max_size)), draw(
        st.integers(1, max_size))
    bits = draw(
        st.lists(
            st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(bits, dtype=bool).reshape(height, width)


def filled(polygons, size):
    """Fill the union of polygons as pycocotools does."""
    polygons = [np.ravel(p).tolist() for p in polygons if len(p) >= 3]
    if not polygons:
        return np.zeros(size, dtype=bool)
    rle = mask_api.merge(mask_api.frPyObjects(polygons, *size))
    return mask_api.decode(rle).astype(bool)


def even_odd(polygon, size):
    """Count, for each pixel centre, the edges to its right: a slow loop."""
    result = np.zeros(size, dtype=bool)
    corners = [tuple(map(float, p)) for p in polygon]
    for y in range(size[0]):
        for x in range(size[1]):
            inside = False
            for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1]):
                if (y1 > y + .5) != (y2 > y + .5):
                    cross = x1 + (y + .5 - y1) * (x2 - x1) / (y2 - y1)
                    inside ^= cross > x + .5
            result[y, x] = inside
    return result


def components(mask, connectivity):
    """Count connected parts by flooding, in a slow loop."""
    left = set(zip(*np.nonzero(mask)))
    count = 0
    while left:
        count += 1
        stack = [left.pop()]
        while stack:
            y, x = stack.pop()
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    near = y + dy, x + dx
                    if near in left and (connectivity == 8
                                         or 0 in (dy, dx)):
                        left.remove(near)
                        stack.append(near)
    return count


@settings(deadline=None, max_examples=150)
@given(masks())
@example(np.eye(5, 7, dtype=bool))
@example(~np.eye(5, 7, dtype=bool))
@example(np.ones((1, 1), dtype=bool))
def test_outlines_fill_the_mask(mask):
    parts = mask_outlines(mask)
    assert len(parts) == components(mask, 8)
    holes = components(np.pad(~mask, 1, constant_values=True), 4) - 1
    assert sum(len(part.holes) for part in parts) == holes
    result = np.zeros_like(mask)
    for part in parts:
        inside = even_odd(part.outer, mask.shape)
        assert np.array_equal(inside, filled([part.outer], mask.shape))
        for hole in part.holes:
            gone = even_odd(hole, mask.shape)
            assert gone.any() and not (gone & ~inside).any()
            inside &= ~gone
        result |= inside
    assert np.array_equal(result, mask)


@settings(deadline=None, max_examples=150)
@given(masks())
@example(~np.eye(5, 7, dtype=bool))
def test_bridged_outline_fills_the_mask(mask):
    loops = [
        loop for part in mask_outlines(mask)
        for loop in (part.outer, *part.holes)
    ]
    if not loops:
        return
    joined = bridge_outlines(loops)
    assert np.array_equal(filled([joined], mask.shape), mask)
    # Each further outline adds its points, its first again, and the way back.
    assert len(joined) == sum(map(len, loops)) + 2 * (len(loops) - 1)


def test_golden_outlines():
    mask = np.zeros((7, 9), dtype=bool)
    mask[1:5, 2:8] = True
    mask[2, 3:5] = False
    mask[6, 0] = True
    parts = sorted(mask_outlines(mask), key=lambda p: len(p.holes))
    assert [len(part.holes) for part in parts] == [0, 1]
    corners = [set(map(tuple, loop.tolist())) for loop in
               (parts[0].outer, parts[1].outer, parts[1].holes[0])]
    assert corners == [{(0, 6), (1, 6), (1, 7), (0, 7)},
                       {(2, 1), (8, 1), (8, 5), (2, 5)},
                       {(3, 2), (5, 2), (5, 3), (3, 3)}]
    assert all(len(loop) == 4 for loop in (parts[0].outer, parts[1].outer))
    assert mask_outlines(mask & False) == []
    assert mask_outlines(np.zeros((0, 4), dtype=bool)) == []


def test_bridges_join_nearest_corners():
    far = np.array([[20, 0], [23, 0], [23, 4]])
    near = np.array([[9, 9], [6, 6], [9, 6]])
    first = np.array([[0, 0], [5, 0], [5, 5], [0, 5]])
    joined = bridge_outlines([first, far, near]).tolist()
    # (5, 5) to (6, 6), and then from (9, 6) on to (20, 0).
    place = joined.index([6, 6])
    assert joined[place - 1] == [5, 5]
    place = joined.index([20, 0])
    assert joined[place - 1] == [9, 6] == joined[place + 4]
    with pytest.raises(ValueError, match='`outlines` of bridge_outlines'):
        bridge_outlines([])


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(st.integers(-9, 20), st.integers(-9, 20)),
        min_size=3,
        max_size=7), st.integers(1, 12), st.integers(1, 11))
@example([(0, 0), (1, 7), (-1, 5)], 7, 1)
def test_clipping_keeps_what_is_inside(points, height, width):
    # Off the grid, by unequal steps, so that no pixel's centre lies on an edge,
    # not even on one at 45 degrees.
    outline = np.array(points) + [0.013, 0.0057]
    cut = clip_outline(outline, (height, width))
    assert (cut >= 0).all() and (cut <= [width, height]).all()
    whole = even_odd(outline + 9, (height + 18, width + 18))
    expected = whole[9:height + 9, 9:width + 9]
    result = even_odd(cut, (height, width)) if len(cut) else expected & False
    assert np.array_equal(result, expected)


@pytest.mark.parametrize('radii, angle', [((0.3, 0.3), 0.), ((31., 12.), 0.6),
                                          ((7., 40.), 2.5)])
def test_ellipse(radii, angle):
    x, y = ellipse_outline((50.5, 61.), radii, angle).T
    area = 0.5 * abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
    assert area == pytest.approx(math.pi * radii[0] * radii[1])
    # The ellipse's equation, in its own axes.
    u = (x - 50.5) * math.cos(angle) + (y - 61.) * math.sin(angle)
    v = (y - 61.) * math.cos(angle) - (x - 50.5) * math.sin(angle)
    distance = np.sqrt((u / radii[0])**2 + (v / radii[1])**2)
    assert np.abs(distance - 1).max() * max(radii) < 0.051


def test_simplifying():
    rows, columns = np.mgrid[:60, :70]
    mask = (rows - 30)**2 + (columns - 33)**2 < 24**2
    outline = mask_outlines(mask)[0].outer
    assert simplify_outline(outline, 0.0) is outline
    for tolerance, share, bound in ((0.4, 0.5, 0.99), (1.0, 0.25, 0.97)):
        short = simplify_outline(outline, tolerance)
        assert 3 <= len(short) < share * len(outline)
        after = filled([short], mask.shape)
        assert (mask & after).sum() > bound * (mask | after).sum()
    dot = mask_outlines(np.ones((1, 1), dtype=bool))[0].outer
    assert simplify_outline(dot, 5.0) is dot
