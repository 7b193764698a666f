"""Pictures of six kinds of shapes, drawn in integer arithmetic only.

The same key gives the same pixels on any machine: randomness is a counter
through the splitmix64 finaliser, geometry is fixed point, and no float takes
part after the sine table (whose roundings are far from ties, so that no
maths library can change them).

Legend: H, W rows and columns of a picture or of a window of it, V vertices.
Lengths in the plane are in sixteenths of a pixel (``_SUB``), directions in
1/1440 of a turn (``_TURN``), ratios in 1/16384 (``_ONE``). The centre of the
pixel in row 0, column 0 is (8, 8) sixteenths.
"""
import math
from typing import List, NamedTuple, Optional, Tuple

import numpy as np

SHAPE_CLASSES = ('disk', 'box', 'star', 'gear', 'ring', 'crescent')

_SUB = 16
_TURN = 1440
_SHIFT = 14
_ONE = 1 << _SHIFT
_SIN = np.array(
    [round(math.sin(2 * math.pi * k / _TURN) * _ONE) for k in range(_TURN)],
    dtype=np.int64)

_WORD = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)

# An instance stays only while so much of it can be seen.
_MIN_VISIBLE_PX = 16
_MIN_VISIBLE_PERCENT = 40
_MAX_TRIES = 24
# Diameters in pixels of a 256 px picture: (weight, lowest, highest). Near
# log-uniform in the middle, thin at the ends, where classes blur or where
# one instance hides the others.
_SIZE_BINS = ((2, 8, 15), (4, 16, 31), (7, 32, 63), (6, 64, 127),
              (2, 128, 200))


def _mix(word: int) -> int:
    """Return the splitmix64 finaliser of a 64-bit word."""
    word = ((word ^ (word >> 30)) * _MIX[0]) & _WORD
    word = ((word ^ (word >> 27)) * _MIX[1]) & _WORD
    return word ^ (word >> 31)


class RandomStream:
    """A counter-based random stream that no library version can change.

    Args:
        key: Integers that name the stream; another key, another stream.
    """

    def __init__(self, *key: int) -> None:
        self._state = 0
        for part in key:
            self._state = _mix((self._state + _GAMMA + (part & _WORD)) & _WORD)

    def _next(self) -> int:
        self._state = (self._state + _GAMMA) & _WORD
        return _mix(self._state)

    def integer(self, low: int, high: int) -> int:
        """Return an integer between ``low`` and ``high``, both included."""
        return low + (self._next() * (high - low + 1) >> 64)

    def chance(self, percent: int) -> bool:
        """Return True in ``percent`` of 100 calls."""
        return self.integer(0, 99) < percent

    def octets(self, *shape: int) -> np.ndarray:
        """Return an int32 array of ``shape`` with values from 0 to 255."""
        count = math.prod(shape)
        words = np.arange(1, (count + 7) // 8 + 1, dtype=np.uint64)
        words = words * np.uint64(_GAMMA) + np.uint64(self._next())
        words = (words ^ (words >> np.uint64(30))) * np.uint64(_MIX[0])
        words = (words ^ (words >> np.uint64(27))) * np.uint64(_MIX[1])
        words = words ^ (words >> np.uint64(31))
        octets = words.astype('<u8').view(np.uint8)[:count]
        return octets.astype(np.int32).reshape(shape)


class Instance(NamedTuple):
    """What can be seen of one shape: its class index and (H, W) bool mask."""

    label: int
    mask: np.ndarray


class Scene(NamedTuple):
    """A (H, W, 3) uint8 RGB picture and its instances, back to front."""

    image: np.ndarray
    instances: List[Instance]


class _Placed(NamedTuple):
    """A shape in the plane: class, window's top and left, (H, W) bool mask.

    The window may stick out of the picture; the mask is that of the whole
    shape, before clipping and occlusion.
    """

    label: int
    top: int
    left: int
    mask: np.ndarray


def _cos_sin(angle: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    return _SIN[(angle + _TURN // 4) % _TURN], _SIN[angle % _TURN]


def _polar(angles: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return (V, 2) points (x, y) from directions and lengths."""
    cos, sin = _cos_sin(angles)
    return np.stack([radii * cos, radii * sin], axis=1) >> _SHIFT


def _circle(radius: int) -> np.ndarray:
    angles = np.arange(0, _TURN, 20)
    return _polar(angles, np.full(angles.shape, radius))


def _percent(stream: RandomStream, low: int, high: int) -> int:
    return _ONE * stream.integer(low, high) // 100


_Outline = Tuple[np.ndarray, Optional[np.ndarray]]


def _disk(stream: RandomStream) -> _Outline:
    return _circle(_ONE), None


def _box(stream: RandomStream) -> _Outline:
    half_w = _percent(stream, 70, 80)
    half_h = half_w * stream.integer(55, 100) // 100
    corners = [(1, 1), (-1, 1), (-1, -1), (1, -1)]
    return np.array(corners, dtype=np.int64) * (half_w, half_h), None


def _star(stream: RandomStream) -> _Outline:
    angles = np.arange(0, _TURN, _TURN // 10)
    radii = np.full(10, _ONE)
    radii[1::2] = _percent(stream, 38, 50)
    return _polar(angles, radii), None


def _gear(stream: RandomStream) -> _Outline:
    teeth = stream.integer(8, 13)
    steps = np.arange(teeth * 20)
    # Of 20 steps per tooth: up to the crest at 0, down from it at 8, at the
    # bottom from 10 to 18.
    corners = steps[np.isin(steps % 20, (0, 8, 10, 18))]
    radii = np.where(corners % 20 < 10, _ONE, _percent(stream, 70, 80))
    return _polar(corners * _TURN // (teeth * 20), radii), None


def _ring(stream: RandomStream) -> _Outline:
    return _circle(_ONE), _circle(_percent(stream, 45, 65))


def _crescent(stream: RandomStream) -> _Outline:
    cut = _circle(_percent(stream, 80, 95))
    return _circle(_ONE), cut + (_percent(stream, 30, 50), 0)


_OUTLINES = dict(
    disk=_disk, box=_box, star=_star, gear=_gear, ring=_ring,
    crescent=_crescent)


def fill_polygon(points: np.ndarray, top: int, left: int, height: int,
                 width: int) -> np.ndarray:
    """Return which pixels of a window have their centre in a polygon.

    Args:
        points: (V, 2) int vertices (x, y), sixteenths of a pixel.
        top: Row of the window's first pixel.
        left: Column of the window's first pixel.
        height: Rows of the window.
        width: Columns of the window.

    Returns:
        (height, width) bool, even-odd rule; a centre on a left or upper
        edge is inside, on a right or lower edge outside.
    """
    half = _SUB // 2
    inside = np.zeros((height, width), dtype=bool)
    ys = (top + np.arange(height)) * _SUB + half
    xs = (left + np.arange(width)) * _SUB + half
    vertices = points.tolist()
    for (x1, y1), (x2, y2) in zip(vertices, vertices[1:] + vertices[:1]):
        if y1 > y2:
            x1, y1, x2, y2 = x2, y2, x1, y1
        # Rows whose centre c has y1 <= c < y2: -(-a // b) rounds up.
        first = max(-(-(y1 - half) // _SUB) - top, 0)
        last = min(-(-(y2 - half) // _SUB) - top, height)
        if first < last:
            edge = (x2 - x1) * (ys[first:last] - y1)
            inside[first:last] ^= edge[:, None] <= (xs - x1) * (y2 - y1)
    return inside


def _place(stream: RandomStream, label: int, size: int, center_x: int,
           center_y: int) -> _Placed:
    """Turn, squeeze and fill a shape of ``size`` px around a pixel."""
    solid, cut = _OUTLINES[SHAPE_CLASSES[label]](stream)
    cos, sin = _cos_sin(np.array(stream.integer(0, _TURN - 1)))
    squeeze = _percent(stream, 80, 100)
    offset = np.array([center_x, center_y]) * _SUB + stream.integer(0, 15)

    def to_plane(points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1] * squeeze >> _SHIFT
        turned = np.stack([x * cos - y * sin, x * sin + y * cos], axis=1)
        return (turned >> _SHIFT) * (size * _SUB // 2) // _ONE + offset

    points = to_plane(solid)
    left, top = (points.min(axis=0) // _SUB).tolist()
    right, bottom = (points.max(axis=0) // _SUB + 1).tolist()
    window = (top, left, bottom - top, right - left)
    mask = fill_polygon(points, *window)
    if cut is not None:
        mask &= ~fill_polygon(to_plane(cut), *window)
    return _Placed(label, top, left, mask)


def _ramp(stream: RandomStream, height: int, width: int) -> np.ndarray:
    """Return (H, W) positions along a random direction, in pixels * _ONE."""
    cos, sin = _cos_sin(np.array(stream.integer(0, _TURN - 1)))
    return np.arange(width) * cos + (np.arange(height) * sin)[:, None]


def _gradient(stream: RandomStream, height: int, width: int) -> np.ndarray:
    ramp = _ramp(stream, height, width)
    ramp = ramp - ramp.min()
    return ramp * 255 // max(int(ramp.max()), 1)


def _stripes(stream: RandomStream, height: int, width: int) -> np.ndarray:
    period = stream.integer(5, 28) * _ONE
    phase = _ramp(stream, height, width) % period
    wave = np.abs(2 * phase - period) * 255 // period
    # Half of them hard-edged.
    return np.where(wave > 127, 255, 0) if stream.chance(50) else wave


def _checks(stream: RandomStream, height: int, width: int) -> np.ndarray:
    side = stream.integer(5, 24) * _ONE
    cos, sin = _cos_sin(np.array(stream.integer(0, _TURN - 1)))
    x, y = np.arange(width), np.arange(height)[:, None]
    tile = (x * cos + y * sin) // side + (y * cos - x * sin) // side
    return tile % 2 * 255


def _noise(stream: RandomStream, height: int, width: int) -> np.ndarray:
    """Return (H, W) value noise, four octaves, 0 to 255."""
    total = np.zeros((height, width), dtype=np.int64)
    coarsest = stream.integer(4, 6)
    for octave in range(4):
        cell = 1 << (coarsest - octave)
        grid = stream.octets(height // cell + 2, width // cell + 2)
        row, part = np.divmod(np.arange(height), cell)
        part = part[:, None]
        grid = grid[row] * (cell - part) + grid[row + 1] * part
        col, part = np.divmod(np.arange(width), cell)
        value = grid[:, col] * (cell - part) + grid[:, col + 1] * part
        total += value // (cell * cell) << (3 - octave)
    return total // 15


def _plain(stream: RandomStream, height: int, width: int) -> np.ndarray:
    return np.full((height, width), stream.integer(0, 255))


_TEXTURES = (_noise, _gradient, _stripes, _checks, _plain)

_Color = Tuple[int, int, int]


def _near(stream: RandomStream, color: _Color, reach: int) -> _Color:
    return tuple(
        min(max(c + stream.integer(-reach, reach), 0), 255) for c in color)


def _paint(stream: RandomStream, height: int, width: int, color: _Color,
           reach: int) -> np.ndarray:
    """Return (H, W, 3) int pixels of a random texture around ``color``."""
    blend = _TEXTURES[stream.integer(0, len(_TEXTURES) - 1)](
        stream, height, width)[..., None]
    start = np.array(_near(stream, color, reach))
    stop = np.array(_near(stream, color, reach))
    pixels = start + ((stop - start) * blend >> 8)
    # Light from one side, between 80 and 120 percent.
    light = 205 + _gradient(stream, height, width)[..., None] * 102 // 255
    return pixels * light >> 8


def _contrasting(stream: RandomStream, color: _Color) -> _Color:
    """Return a random colour that differs visibly from ``color``."""
    while True:
        other = tuple(stream.integer(16, 239) for _ in range(3))
        if sum(abs(a - b) for a, b in zip(color, other)) >= 130:
            return other


def _draw_size(stream: RandomStream, image_size: int) -> int:
    pick = stream.integer(1, sum(weight for weight, _, _ in _SIZE_BINS))
    for weight, low, high in _SIZE_BINS:
        pick -= weight
        if pick <= 0:
            break
    return min(stream.integer(low, high), image_size * 200 // 256)


def _draw_center(stream: RandomStream, placed: List[_Placed],
                 image_size: int) -> Tuple[int, int]:
    """Return (x, y) in the picture, often beside an earlier shape."""
    if not placed or stream.chance(55):
        return (stream.integer(0, image_size - 1),
                stream.integer(0, image_size - 1))
    other = placed[stream.integer(0, len(placed) - 1)]
    height, width = other.mask.shape
    x = other.left + stream.integer(-width // 4, width + width // 4)
    y = other.top + stream.integer(-height // 4, height + height // 4)
    return (min(max(x, 0), image_size - 1), min(max(y, 0), image_size - 1))


def _clip(shape: _Placed, image_size: int) -> Tuple[slice, slice, np.ndarray]:
    """Return rows, columns and mask of the part inside the picture."""
    height, width = shape.mask.shape
    top, left = max(shape.top, 0), max(shape.left, 0)
    bottom = max(min(shape.top + height, image_size), top)
    right = max(min(shape.left + width, image_size), left)
    mask = shape.mask[top - shape.top:bottom - shape.top,
                      left - shape.left:right - shape.left]
    return slice(top, bottom), slice(left, right), mask


def _needed(shape: _Placed) -> int:
    """Return how many pixels of a shape must stay visible."""
    return max(_MIN_VISIBLE_PX,
               int(shape.mask.sum()) * _MIN_VISIBLE_PERCENT // 100)


def _try_instance(stream: RandomStream, placed: List[_Placed],
                  owner: np.ndarray) -> bool:
    """Put one more shape in front, unless none of the tries fits.

    Args:
        stream: The picture's stream.
        placed: Shapes so far, back to front; the new one is appended.
        owner: (H, W) int, 1 + index of the shape seen at each pixel, 0 for
            the background; updated.

    Returns:
        Whether a shape was placed. A try fails when too little of the new
        shape lies in the picture, or would be left of an earlier one.
    """
    image_size = owner.shape[0]
    label = stream.integer(0, len(SHAPE_CLASSES) - 1)
    for _ in range(_MAX_TRIES):
        size = _draw_size(stream, image_size)
        center = _draw_center(stream, placed, image_size)
        shape = _place(stream, label, size, *center)
        rows, cols, mask = _clip(shape, image_size)
        if mask.sum() < _needed(shape):
            continue
        hidden = np.bincount(
            owner[rows, cols][mask], minlength=len(placed) + 1)
        seen = np.bincount(owner.ravel(), minlength=len(placed) + 1) - hidden
        if all(seen[i + 1] >= _needed(old) or not hidden[i + 1]
               for i, old in enumerate(placed)):
            placed.append(shape)
            owner[rows, cols][mask] = len(placed)
            return True
    return False


def draw_scene(stream: RandomStream, image_size: int) -> Scene:
    """Draw one picture.

    Args:
        stream: Source of all randomness.
        image_size: Height and width in pixels, >= 32.

    Returns:
        A scene with 1 to 10 instances. Later ones lie in front; masks are
        disjoint and hold what can be seen. Every shape drawn is returned.
    """
    placed: List[_Placed] = []
    owner = np.zeros((image_size, image_size), dtype=np.int64)
    count = stream.integer(1, 10)
    while not placed:
        for _ in range(count):
            _try_instance(stream, placed, owner)

    base = tuple(stream.integer(16, 239) for _ in range(3))
    canvas = _paint(stream, image_size, image_size, base, 70)
    for shape in placed:
        rows, cols, mask = _clip(shape, image_size)
        color = _contrasting(stream, base)
        pixels = _paint(stream, *mask.shape, color, 45)
        canvas[rows, cols][mask] = pixels[mask]
    instances = [
        Instance(shape.label, owner == i + 1)
        for i, shape in enumerate(placed)
    ]
    return Scene(_develop(stream, canvas), instances)


def _develop(stream: RandomStream, canvas: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8: soften edges by a pixel, then add grain."""
    padded = np.pad(canvas, ((1, 1), (1, 1), (0, 0)), mode='edge')
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    soft = (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) // 16
    grain = stream.octets(2, *canvas.shape).sum(axis=0) - 255
    soft = soft + (grain * stream.integer(0, 24) >> 8)
    return np.clip(soft, 0, 255).astype(np.uint8)
