"""Contours: against OpenCV on the whole image, loops and known shapes."""
import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional.contours import (fill_contours, mass_center,
                                           pad_contours, trace_contour)


def blob(seed, height=37, width=53):
    """A random mask of several ragged components with holes."""
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(
        rng.normal(size=(height, width)), (0, 0), rng.uniform(0.5, 4))
    return noise > np.quantile(noise, rng.uniform(0.2, 0.97))


def slow_center(points):
    """The centroid, added up vertex by vertex in floats."""
    area = x = y = 0.0
    for i, (px, py) in enumerate(points):
        qx, qy = points[i - 1]
        part = (px * qy - py * qx) / 2.0
        area += part
        x += part * (px + qx) / 3.0
        y += part * (py + qy) / 3.0
    if area == 0:
        x, y = np.mean(points, 0)
        return int(x), int(y), x, y
    return int(x / area), int(y / area), x / area, y / area


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_contour_is_the_largest_of_the_whole_image(seed):
    mask = blob(seed)
    contours, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    contours = sorted(contours, key=cv2.contourArea, reverse=True)
    assert np.array_equal(trace_contour(mask), contours[0][:, 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_contour_is_the_border_to_the_outside(seed):
    mask = blob(seed)
    contour = trace_contour(mask)
    number, parts = cv2.connectedComponents(mask.astype(np.uint8))
    own = np.pad(parts == parts[contour[0, 1], contour[0, 0]], 1)
    flooded = own.astype(np.uint8)
    cv2.floodFill(flooded, None, (0, 0), 2)  # 4-connected
    outside = np.pad(flooded == 2, 1)
    beside = (outside[:-2, 1:-1] | outside[2:, 1:-1] | outside[1:-1, :-2]
              | outside[1:-1, 2:])
    rows, columns = np.nonzero((own & beside)[1:-1, 1:-1])
    assert set(zip(columns, rows)) == set(map(tuple, contour))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6))
def test_mass_center_is_that_of_a_loop(seed):
    contour = trace_contour(blob(seed))
    x, y, exact_x, exact_y = slow_center(contour.tolist())
    assert mass_center(contour, legacy_v1=True) == (x, y)
    for given_, value in zip(mass_center(contour), (exact_x, exact_y)):
        # Exact arithmetic differs from the loop at whole numbers only.
        assert given_ == int(value) or given_ == round(value, 9)


def test_worked_rectangle():
    mask = np.zeros((40, 50), bool)
    mask[10:17, 10:21] = True
    contour = trace_contour(mask)
    assert len(contour) == 32
    assert cv2.contourArea(contour) == 60
    assert mass_center(contour) == (15, 13)
    assert mass_center(contour, legacy_v1=True) == (15, 12)  # 12.99999...


@pytest.mark.parametrize('rows, columns, center', [
    (slice(5, 6), slice(3, 14), (8, 5)),
    (slice(5, 6), slice(3, 4), (3, 5)),
    (slice(4, 9), slice(7, 8), (7, 6)),
])
def test_shapes_without_area(rows, columns, center):
    mask = np.zeros((11, 17), bool)
    mask[rows, columns] = True
    assert mass_center(trace_contour(mask)) == center


def test_only_the_largest_component_counts_and_holes_do_not():
    mask = np.zeros((30, 41), bool)
    mask[2:6, 2:7] = True
    mask[8:28, 10:35] = True
    alone = mask.copy()
    alone[:7] = False
    mask[12:20, 15:30] = False
    assert np.array_equal(trace_contour(mask), trace_contour(alone))


def test_nothing():
    assert trace_contour(np.zeros((7, 9), bool)).shape == (0, 2)
    with pytest.raises(ValueError, match='must have a point'):
        mass_center(np.zeros((0, 2), np.int32))
    points, lengths, centers = pad_contours([])
    assert points.shape == (0, 0, 2) and len(lengths) == len(centers) == 0


def test_padding():
    some = [trace_contour(blob(1)), np.zeros((0, 2), np.int32),
            trace_contour(blob(2))]
    points, lengths, centers = pad_contours(some)
    assert points.dtype == np.int16
    assert lengths.tolist() == [len(c) for c in some]
    assert points.shape == (3, max(lengths), 2)
    for row, length, contour in zip(points, lengths, some):
        assert np.array_equal(row[:length], contour)
        assert not row[length:].any()
    assert centers[1].tolist() == [0, 0]
    assert tuple(centers[2]) == mass_center(some[2])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_filling_a_contour_gives_the_component_without_holes(seed):
    mask = blob(seed)
    contour = trace_contour(mask)
    points = torch.from_numpy(contour.T[None].copy())  # (1, 2, L)
    filled = fill_contours(points, mask.shape)
    _, parts = cv2.connectedComponents(mask.astype(np.uint8))
    own = np.pad(parts == parts[contour[0, 1], contour[0, 0]], 1)
    canvas = own.astype(np.uint8)
    cv2.floodFill(canvas, None, (0, 0), 2)
    assert np.array_equal(filled[0].numpy(), (canvas != 2)[1:-1, 1:-1])


def test_filling_none_and_beyond_the_image():
    assert fill_contours(torch.zeros(0, 2, 36), (5, 8)).shape == (0, 5, 8)
    square = torch.tensor([[[-3., 30., 30., -3.], [2., 2., 40., 40.]]])
    filled = fill_contours(square, (5, 8))
    assert filled.dtype == torch.bool
    assert not filled[0, :2].any() and filled[0, 2:].all()
