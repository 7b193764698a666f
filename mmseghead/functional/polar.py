"""Polar coordinates of contours: rays, centerness, overlap, assignment.

Legend: K instances, T vertices of all contours, M locations, n rays, B
images, L levels, P locations of an image over all levels.

Angles are degrees from +y (down in the image) towards +x (right): 0 down, 90
right, 180 up, 270 left; ray k points to k * 360 / n. Positions are pixel
indices.

Source: PolarMask, arXiv:1909.13226; xieenze/PolarMask, `coco_seg.py` and
`polarmask_head.py`. Differs: the loops over locations and rays became
tensor operations.
"""
import math
from typing import Iterator, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor

#: Length of a ray that meets no contour.
EMPTY_RAY = 1e-6
# Pairs of a location and a vertex (times the rays, if exact) at a time.
_MAX_PAIRS = 1 << 21


class Contours(NamedTuple):
    """Contours of K instances, one behind the other.

    Attributes:
        vertices: (T, 2) x, y, integer or float.
        offsets: (K + 1,) int64; contour k is
            ``vertices[offsets[k]:offsets[k + 1]]``.
    """

    vertices: Tensor
    offsets: Tensor


def join_contours(contours: Sequence[Tensor]) -> Contours:
    """Join contours (L_k, 2), at least one, of one type and device."""
    lengths = [len(contour) for contour in contours]
    offsets = torch.tensor([0, *lengths], device=contours[0].device)
    return Contours(torch.cat(list(contours)), offsets.cumsum(0))


def unpad_contours(points: Tensor, lengths: Tensor) -> Contours:
    """Join padded contours.

    Args:
        points: (K, L, 2), what lies behind a contour's end is not read.
        lengths: (K,) int64.
    """
    index = torch.arange(points.shape[1], device=points.device)
    used = index < lengths[:, None]  # (K, L)
    offsets = torch.cat((lengths.new_zeros(1), lengths.cumsum(0)))
    return Contours(points[used], offsets)


def ray_angles(num_rays: int, device: torch.device) -> Tensor:
    """Return the (n,) float32 angles of the rays in degrees."""
    return torch.arange(num_rays, device=device) * (360.0 / num_rays)


def ray_directions(num_rays: int, device: torch.device) -> Tensor:
    """Return the (2, n) float32 unit vectors of the rays, x in row 0."""
    angles = torch.arange(num_rays, device=device, dtype=torch.float64)
    angles = angles * (2 * math.pi / num_rays)
    return torch.stack((angles.sin(), angles.cos())).float()


def bucket_rays(points: Tensor,
                contours: Contours,
                gt_inds: Tensor,
                num_rays: int,
                window: int = 3,
                wrap: bool = False) -> Tensor:
    """Measure rays by the vertices whose direction is nearly theirs.

    Each vertex falls into a bucket of one degree (rounded down), each bucket
    keeps its longest distance. A ray at i degrees takes the first bucket of
    i, i + 1, i - 1, i + 2, i - 2, ... that is not empty.

    Args:
        points: (M, 2) x, y, pixels.
        contours: Of K instances.
        gt_inds: (M,) int64, the contour of each location.
        num_rays: n, a divisor of 360.
        window: Degrees to look to each side.
        wrap: Whether 359 degrees are beside 0. Not so in the reference,
            whose ray 0 looks to one side only.

    Returns:
        (M, n) float32 >= 0, pixels; ``EMPTY_RAY`` where all buckets are
        empty, and 0 where a location lies on the contour and nothing else is
        in sight. (0, n) when M is 0.
    """
    columns = _candidate_buckets(num_rays, window, wrap, points.device)
    parts = [points.new_zeros((0, num_rays), dtype=torch.float32)]
    for part in _groups(points, contours, gt_inds):
        rows, offset = _pairs(*part)
        table = _farthest(rows, offset, len(part[0]))  # (m, 361)
        nearby = table[:, columns]  # (m, n, 2 * window + 1)
        first = (nearby >= 0).to(torch.uint8).argmax(2, keepdim=True)
        rays = nearby.gather(2, first)[:, :, 0]
        parts.append(rays.where(rays >= 0, EMPTY_RAY))
    return torch.cat(parts)


def _candidate_buckets(num_rays: int, window: int, wrap: bool,
                       device: torch.device) -> Tensor:
    """Return the (n, 2 * window + 1) buckets of each ray in their order.

    360 stands for a bucket that does not exist.
    """
    steps = [0]
    for step in range(1, window + 1):
        steps += [step, -step]
    angles = torch.arange(num_rays, device=device) * (360 // num_rays)
    buckets = angles[:, None] + torch.tensor(steps, device=device)
    if wrap:
        return buckets % 360
    return buckets.where((buckets >= 0) & (buckets < 360), 360)


def _groups(points: Tensor, contours: Contours, gt_inds: Tensor
            ) -> Iterator[Tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Cut locations into groups of a bounded number of pairs.

    Yields:
        (m, 2) points, (T, 2) vertices, and (m,) first vertex and length of
        each location's contour.
    """
    begins = contours.offsets[gt_inds]
    lengths = contours.offsets[gt_inds + 1] - begins
    group = (lengths.cumsum(0) - lengths).div(
        _MAX_PAIRS, rounding_mode='floor')
    sizes = [size for size in group.bincount().tolist() if size]
    for part in zip(
            points.float().split(sizes),
            begins.split(sizes), lengths.split(sizes)) if sizes else ():
        yield part[0], contours.vertices, part[1], part[2]


def _pairs(points: Tensor, vertices: Tensor, begins: Tensor,
           lengths: Tensor) -> Tuple[Tensor, Tensor]:
    """Return (N,) location and (N, 2) offset of each location's vertices."""
    rows = torch.repeat_interleave(lengths)
    first = begins - (lengths.cumsum(0) - lengths)
    index = torch.arange(len(rows), device=rows.device) + first[rows]
    return rows, vertices[index].float() - points[rows]


def _farthest(rows: Tensor, offset: Tensor, number: int) -> Tensor:
    """Return the (number, 361) longest distance of each bucket, -1 if none.

    Column 360 stays empty.
    """
    dx, dy = offset.unbind(1)
    # In this order and precision: buckets must be those of the reference.
    degrees = torch.atan2(dx, dy) * 180 / math.pi
    degrees = torch.where(degrees < 0, degrees + 360, degrees)
    bucket = degrees.long().clamp_(max=359)
    distance = (dx * dx + dy * dy).sqrt()
    table = distance.new_full((number * 361, ), -1)
    table.scatter_reduce_(0, rows * 361 + bucket, distance, 'amax')
    return table.view(number, 361)


def exact_rays(points: Tensor, contours: Contours, gt_inds: Tensor,
               num_rays: int) -> Tensor:
    """Measure rays by where they cross the contour's line segments.

    Not in the paper: no ray is empty from inside of a contour, however small
    it is.

    Args:
        points: (M, 2) x, y, pixels.
        contours: Of K instances, closed polygons.
        gt_inds: (M,) int64, the contour of each location.
        num_rays: n, at least 1.

    Returns:
        (M, n) float32, the farthest crossing in pixels; ``EMPTY_RAY``
        where a ray has none. (0, n) when M is 0.
    """
    directions = ray_directions(num_rays, points.device)
    parts = [points.new_zeros((0, num_rays), dtype=torch.float32)]
    for point, vertices, begins, lengths in _groups(points, contours, gt_inds):
        # All rays of all pairs would be n times the group's bound.
        step = max(1, len(point) // num_rays)
        for i in range(0, len(point), step):
            part = slice(i, i + step)
            parts.append(
                _crossings(point[part], vertices, begins[part], lengths[part],
                           directions))
    return torch.cat(parts)


def _crossings(points: Tensor, vertices: Tensor, begins: Tensor,
               lengths: Tensor, directions: Tensor) -> Tensor:
    """Return the (m, n) farthest crossings of a group of locations."""
    rows, offset = _pairs(points, vertices, begins, lengths)
    # Each vertex and the next one on its contour, the first after the last.
    following = torch.arange(len(rows), device=rows.device) + 1
    ends = lengths.cumsum(0)
    last = ends[lengths > 0] - 1
    following[last] = (ends - lengths)[lengths > 0]
    # A turn by 90 degrees: the component across the ray.
    across = offset @ torch.stack((directions[1], -directions[0]))  # (N, n)
    along = offset @ directions
    # On the ray itself: sums of products of a few hundred pixels.
    across = across.where(across.abs() > 1e-4, 0.)
    other_across, other_along = across[following], along[following]
    change = other_across - across
    lies_on = change == 0
    at = (along * other_across - other_along * across) / change.where(
        ~lies_on, 1.)
    at = at.where(~lies_on, torch.maximum(along, other_along))
    hit = (across * other_across <= 0) & (at > 0)
    hit &= ~lies_on | (across == 0)
    at = at.where(hit, EMPTY_RAY).clamp(min=EMPTY_RAY)
    rays = at.new_full((len(points), directions.shape[1]), EMPTY_RAY)
    return rays.scatter_reduce_(0, rows[:, None].expand_as(at), at, 'amax')


def rays_to_points(points: Tensor,
                   rays: Tensor,
                   max_shape: Tuple[int, int] = None) -> Tensor:
    """Return the end points of rays.

    Args:
        points: (M, 2) x, y, pixels.
        rays: (M, n) lengths in pixels.
        max_shape: (height, width) to clamp to, so that the last index is one
            less; None does not clamp.

    Returns:
        (M, 2, n) float32, x in row 0; (0, 2, n) when M is 0.
    """
    directions = ray_directions(rays.shape[1], rays.device)
    ends = points.float()[:, :, None] + rays.float()[:, None] * directions
    if max_shape is not None:
        height, width = max_shape
        limit = ends.new_tensor([width - 1, height - 1])[:, None]
        ends = ends.clamp(min=0).minimum(limit)
    return ends


def polar_centerness(rays: Tensor) -> Tensor:
    """Return the (M,) square root of the shortest over the longest ray.

    Args:
        rays: (M, n) >= 0; rows of zeros give 0.
    """
    low, high = rays.aminmax(dim=1)
    return (low / high.clamp(min=EMPTY_RAY)).sqrt()


def polar_iou(one: Tensor, other: Tensor, power: int = 1) -> Tensor:
    """Return the overlap of two sets of rays from one centre.

    Args:
        one: (M, n) lengths >= 0.
        other: (M, n) likewise.
        power: 2 for the ratio of areas, 1 for the paper's simplification.

    Returns:
        (M,) sum of min^power over sum of max^power, in [0, 1].
    """
    low = torch.minimum(one, other).pow(power).sum(1)
    high = torch.maximum(one, other).pow(power).sum(1)
    return low / high.clamp(min=torch.finfo(high.dtype).tiny)


class PolarObjects(NamedTuple):
    """What of K instances of a batch decides who learns them.

    Attributes:
        boxes: (K, 4) x1, y1, x2, y2.
        centers: (K, 2) int64 x, y, mass centres.
        areas: (K,) of the boxes; of two candidates the smaller one wins, and
            of equal ones the first.
        images: (K,) int64 index of the image.
    """

    boxes: Tensor
    centers: Tensor
    areas: Tensor
    images: Tensor


class PolarGrid(NamedTuple):
    """The locations of L levels, row-major, fine to coarse.

    Location (i, j) of a level is the pixel (j, i) * stride + stride // 2.

    Attributes:
        sizes: (height, width) of each level's map.
        strides: Pixels between locations.
        ranges: Smallest and largest reach of a level, inclusive: the largest
            distance of a location to a side of the box.
    """

    sizes: Sequence[Tuple[int, int]]
    strides: Sequence[int]
    ranges: Sequence[Tuple[float, float]]

    @property
    def num_locations(self) -> int:
        """P, the locations of one image."""
        return sum(height * width for height, width in self.sizes)

    def points(self, device: torch.device) -> Tensor:
        """Return the (P, 2) int64 locations x, y."""
        levels = []
        for (height, width), stride in zip(self.sizes, self.strides):
            ys = torch.arange(height, device=device) * stride + stride // 2
            xs = torch.arange(width, device=device) * stride + stride // 2
            grid = torch.meshgrid(ys, xs, indexing='ij')
            levels.append(torch.stack((grid[1], grid[0]), -1).flatten(0, 1))
        return torch.cat(levels)


def assign_locations(grid: PolarGrid,
                     objects: PolarObjects,
                     num_images: int,
                     radius: float = 1.5) -> Tuple[Tensor, Tensor]:
    """Find the locations that learn an instance.

    A location may learn an instance if it lies strictly inside of its box
    and of the square of ``radius`` strides around its mass centre, and if
    its reach is in the level's range.

    Only the few cells around each mass centre are looked at, of all images
    at once: memory grows with K * L, not with K * P.

    Args:
        grid: Locations of an image.
        objects: K instances of all images; 0 is fine.
        num_images: B.
        radius: In strides.

    Returns:
        (M,) int64 positions in the B * P locations, ascending, and (M,)
        int64 instances.
    """
    order = objects.areas.argsort(stable=True)
    flat, instance = _candidates(grid, objects, radius)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device=order.device)
    best = order.new_full((num_images * grid.num_locations, ), len(order))
    best.scatter_reduce_(0, flat, rank[instance], 'amin')
    found = (best < len(order)).nonzero()[:, 0]
    return found, order[best[found]]


def _candidates(grid: PolarGrid, objects: PolarObjects,
                radius: float) -> Tuple[Tensor, Tensor]:
    """Return (C,) location and (C,) instance of all that may learn."""
    centers = objects.centers
    strides = centers.new_tensor(grid.strides)[:, None]  # (L, 1)
    sizes = centers.new_tensor(grid.sizes)  # (L, 2) height, width
    around = torch.arange(
        -math.floor(radius), math.ceil(radius) + 1, device=centers.device)
    cells, reach, inside = [], [], []
    for axis in (0, 1):  # x, then y
        center = centers[:, axis, None, None]  # (K, 1, 1)
        cell = (center - strides // 2).div(
            strides, rounding_mode='floor') + around  # (K, L, a)
        place = cell * strides + strides // 2
        before = place - objects.boxes[:, axis, None, None]
        after = objects.boxes[:, axis + 2, None, None] - place
        near = (place - center).abs() < radius * strides
        on_map = (cell >= 0) & (cell < sizes[:, 1 - axis, None])
        cells.append(cell)
        reach.append(torch.maximum(before, after))
        inside.append(near & on_map & (before > 0) & (after > 0))
    far = torch.maximum(reach[0][:, :, None], reach[1][..., None])
    ranges = far.new_tensor(grid.ranges)[:, :, None, None]  # (L, 2, 1, 1)
    valid = inside[0][:, :, None] & inside[1][..., None]  # (K, L, ay, ax)
    valid &= (far >= ranges[:, 0]) & (far <= ranges[:, 1])
    instance, level, row, column = valid.nonzero().unbind(1)
    counts = sizes.prod(1)
    flat = objects.images[instance] * grid.num_locations
    flat = flat + (counts.cumsum(0) - counts)[level]
    flat = flat + cells[1][instance, level, row] * sizes[level, 1]
    return flat + cells[0][instance, level, column], instance
