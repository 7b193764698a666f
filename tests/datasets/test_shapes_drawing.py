"""Drawing: exact, seeded, and true to its annotations."""
import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.datasets import shapes_drawing as drawing
from mmseghead.datasets.shapes_drawing import (SHAPE_CLASSES, RandomStream,
                                               draw_scene, fill_polygon)


def test_stream_is_splitmix64():
    """Published outputs of splitmix64 seeded with 1234567."""
    stream = RandomStream()
    stream._state = 1234567
    assert [stream._next() for _ in range(3)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423
    ]


def test_octets_follow_the_same_generator():
    scalar, vector = RandomStream(3, 1), RandomStream(3, 1)
    octets = vector.octets(5, 7)
    start = scalar._next()
    words = b''.join(
        drawing._mix((start + (i + 1) * drawing._GAMMA) & drawing._WORD)
        .to_bytes(8, 'little') for i in range(5))
    assert octets.ravel().tolist() == list(words[:35])


@given(st.lists(st.integers(0, 2**63), min_size=1, max_size=3))
def test_integers_fill_their_range(key):
    stream = RandomStream(*key)
    drawn = [stream.integer(-2, 3) for _ in range(200)]
    assert set(drawn) == set(range(-2, 4))


def test_keys_give_unlike_streams():
    keys = [(0, ), (1, ), (0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 0, 1)]
    assert len({RandomStream(*key)._next() for key in keys}) == len(keys)


def test_no_sine_is_near_a_rounding_tie():
    """Then no maths library can round an entry another way."""
    for k in range(drawing._TURN):
        value = math.sin(2 * math.pi * k / drawing._TURN) * drawing._ONE
        assert abs(value - math.floor(value) - 0.5) > 1e-7
    table = drawing._SIN.astype('<i8').tobytes()
    assert hashlib.sha256(table).hexdigest().startswith('c5cbcd72d7032f5e')


def _slow_fill(points, top, left, height, width):
    """Even-odd rule by a ray to the left, one pixel at a time, exactly."""
    inside = np.zeros((height, width), dtype=bool)
    for row in range(height):
        for col in range(width):
            y, x = (top + row) * 16 + 8, (left + col) * 16 + 8
            for (x1, y1), (x2, y2) in zip(points, np.roll(points, -1, 0)):
                if (y1 <= y) == (y2 <= y):
                    continue
                # x * (y2 - y1) >= crossing * (y2 - y1), sign kept.
                side = (x - x1) * (y2 - y1) - (x2 - x1) * (y - y1)
                inside[row, col] ^= side * (1 if y2 > y1 else -1) >= 0
    return inside


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-60, 330), st.integers(-60, 250)),
        min_size=3,
        max_size=9))
def test_fill_equals_the_slow_loop(points):
    points = np.array(points)
    window = (-2, -3, 17, 23)
    assert np.array_equal(
        fill_polygon(points, *window), _slow_fill(points, *window))


def test_fill_of_neighbours_shares_no_pixel():
    """Two rectangles that share an edge tile their union."""
    left = np.array([(8, 8), (72, 8), (72, 56), (8, 56)])
    right = left + (64, 0)
    both = fill_polygon(left, 0, 0, 5, 11), fill_polygon(right, 0, 0, 5, 11)
    assert not (both[0] & both[1]).any()
    assert both[0].sum() == both[1].sum() == 4 * 3


def _place(name, size=120):
    stream = RandomStream(5, SHAPE_CLASSES.index(name))
    return drawing._place(stream, SHAPE_CLASSES.index(name), size, 128, 128)


@pytest.mark.parametrize('name', SHAPE_CLASSES)
@pytest.mark.parametrize('size', [8, 31, 200])
def test_size_is_the_diameter(name, size):
    shape = _place(name, size)
    height, width = shape.mask.shape
    assert 0.5 * size <= max(height, width) <= size + 2
    assert shape.mask.any()


def test_classes_have_their_forms():
    """Holes, convexity and boundary length tell the classes apart."""
    cv2 = pytest.importorskip('cv2')
    facts = {}
    for name in SHAPE_CLASSES:
        mask = np.pad(_place(name).mask, 1).astype(np.uint8)
        contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP,
                                          cv2.CHAIN_APPROX_NONE)
        outer = max(contours, key=cv2.contourArea)
        hull = cv2.contourArea(cv2.convexHull(outer))
        holes = int((tree[0, :, 3] >= 0).sum())
        facts[name] = (holes, cv2.contourArea(outer) / hull)
    assert facts['ring'][0] == 1
    assert all(facts[name][0] == 0 for name in SHAPE_CLASSES
               if name != 'ring')
    assert min(facts['disk'][1], facts['box'][1], facts['ring'][1]) > 0.95
    assert facts['crescent'][1] < 0.75
    assert facts['star'][1] < 0.75
    assert 0.75 < facts['gear'][1] < 0.95


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**40), st.sampled_from([32, 65, 256]))
def test_scene_keeps_its_promises(seed, size):
    scene = draw_scene(RandomStream(seed), size)
    assert scene.image.shape == (size, size, 3)
    assert scene.image.dtype == np.uint8
    assert 1 <= len(scene.instances) <= 10
    masks = np.stack([instance.mask for instance in scene.instances])
    assert masks.sum(axis=0).max() == 1
    assert masks.sum(axis=(1, 2)).min() >= 16
    again = draw_scene(RandomStream(seed), size)
    assert np.array_equal(scene.image, again.image)


def test_instances_are_painted_where_they_are_annotated():
    """A scene without its front shape differs inside that shape only.

    The soft edge reaches one pixel further; grain comes later in the
    stream, so that the canvas is compared, not the picture.
    """
    canvases = []
    develop = drawing._develop

    def keep(stream, canvas):
        canvases.append(canvas.copy())
        return develop(stream, canvas)

    try:
        drawing._develop = keep
        scene = draw_scene(RandomStream(11), 256)
    finally:
        drawing._develop = develop
    covered = np.any([i.mask for i in scene.instances], axis=0)
    background = canvases[0][~covered]
    for instance in scene.instances:
        inside = canvases[0][instance.mask].mean(axis=0)
        assert np.abs(inside - background.mean(axis=0)).sum() > 20


def test_all_classes_and_sizes_occur():
    scenes = [draw_scene(RandomStream(1, i), 256) for i in range(60)]
    labels = [i.label for scene in scenes for i in scene.instances]
    shares = np.bincount(labels, minlength=6) / len(labels)
    assert shares.min() > 0.1
    areas = [int(i.mask.sum()) for scene in scenes for i in scene.instances]
    assert min(areas) < 100 and max(areas) > 8000
    counts = {len(scene.instances) for scene in scenes}
    assert {1, 10} <= counts
