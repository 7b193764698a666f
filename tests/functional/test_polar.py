"""Polar targets: worked examples, slow loops, properties."""
import importlib.util
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional import polar
from mmseghead.functional.contours import mass_center, trace_contour

E = 1e-6
ROOT = Path(__file__).resolve().parents[2]
_SPEC = importlib.util.spec_from_file_location(
    'benchmark_polar', ROOT / 'tools/benchmarks/benchmark_polar.py')
LOOPS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(LOOPS)


def blob(rng, height=59, width=83):
    noise = cv2.GaussianBlur(
        rng.normal(size=(height, width)), (0, 0), rng.uniform(0.7, 9))
    return noise > np.quantile(noise, rng.uniform(0.3, 0.97))


def contour_of(mask):
    return torch.from_numpy(trace_contour(mask))


def rectangle():
    mask = np.zeros((40, 50), bool)
    mask[10:17, 10:21] = True
    return polar.join_contours([contour_of(mask)])


def slow_rays(point, contour, num_rays, window=3, wrap=False):
    """The rules of the reference, pixel by pixel in double precision."""
    farthest = {}
    for x, y in contour:
        dx, dy = x - point[0], y - point[1]
        degrees = math.atan2(dx, dy) * 180 / math.pi
        bucket = math.floor(degrees + 360 if degrees < 0 else degrees)
        length = math.sqrt(dx * dx + dy * dy)
        farthest[bucket] = max(farthest.get(bucket, 0), length)
    rays = []
    for angle in range(0, 360, 360 // num_rays):
        tried = [angle]
        for step in range(1, window + 1):
            tried += [angle + step, angle - step]
        if wrap:
            tried = [t % 360 for t in tried]
        rays.append(next((farthest[t] for t in tried if t in farthest), E))
    return rays


def one(points, contours, num_rays, **options):
    points = torch.as_tensor(points)
    return polar.bucket_rays(points, contours,
                             torch.zeros(len(points), dtype=torch.long),
                             num_rays, **options)


def test_worked_rectangle():
    contours = rectangle()
    four = one([[15, 13]], contours, 4)
    assert four.tolist() == [[3, 5, 3, 5]]
    assert polar.polar_centerness(four).item() == pytest.approx(.774597, 1e-5)
    diagonal = 4.2426
    eight = one([[15, 13]], contours, 8)[0]
    assert eight.tolist() == pytest.approx(
        [3, diagonal, 5, diagonal] * 2, abs=5e-5)
    half = [
        E, 3.1623, 3.6056, E, 5, 5.8310, 5.3852, 5.0990, 5, 5.0990, 5.3852,
        5.8310, E, E, E, 3.1623, E
    ]
    expected = [3, *half, 3, *half]
    given_ = one([[15, 13]], contours, 36)[0]
    assert given_.tolist() == pytest.approx(expected, abs=5e-5)
    assert (given_ < 1e-3).sum() == 12


def polygon_area(points):
    following = np.roll(points, -1, 0)
    return abs(np.sum(points[:, 0] * following[:, 1] -
                      points[:, 1] * following[:, 0])) / 2


@pytest.mark.parametrize('n, area', [(4, 30), (8, 48), (12, 59.2598)])
def test_polygons_of_the_rectangle(n, area):
    rays = polar.exact_rays(
        torch.tensor([[15, 13]]), rectangle(), torch.tensor([0]), n)
    ends = polar.rays_to_points(torch.tensor([[15, 13]]), rays)
    assert polygon_area(ends[0].T.double().numpy()) == pytest.approx(
        area, abs=1e-3)


def test_decoding_goes_down_first_then_right():
    ends = polar.rays_to_points(
        torch.tensor([[15, 13]]), torch.tensor([[3., 5, 3, 5]]))
    assert ends[0].T.tolist() == [
        pytest.approx(p, abs=1e-5)
        for p in ([15, 16], [20, 13], [15, 10], [10, 13])
    ]
    clamped = polar.rays_to_points(
        torch.tensor([[15, 13]]), torch.tensor([[3., 5, 3, 50]]), (15, 19))
    assert clamped[0].T.tolist() == [
        pytest.approx(p, abs=1e-5)
        for p in ([15, 14], [18, 13], [15, 10], [0, 13])
    ]


@pytest.mark.parametrize('n, share', [(4, .6366), (8, .9003), (18, .9798),
                                      (24, .9886), (36, .9949), (72, .9987)])
def test_inscribed_polygons(n, share):
    ends = polar.rays_to_points(torch.tensor([[0, 0]]), torch.ones(1, n))
    area = polygon_area(ends[0].T.double().numpy())
    assert area / math.pi == pytest.approx(share, abs=5e-5)


def test_encoding_undoes_decoding_of_star_shapes():
    rng = np.random.default_rng(0)
    worst = []
    for _ in range(200):
        phases = rng.uniform(0, 2 * math.pi, 3)
        turn = np.arange(36) * (2 * math.pi / 36)
        rays = 40 + sum(5 * np.sin((k + 1) * turn + p)
                        for k, p in enumerate(phases))
        center = torch.tensor([[80, 75]])
        ends = polar.rays_to_points(center, torch.tensor(rays[None]))
        mask = np.zeros((150, 160), np.uint8)
        polygon = ends[0].T.round().numpy().astype(np.int32)
        cv2.drawContours(mask, [polygon], -1, 1, -1)
        again = polar.bucket_rays(
            center, polar.join_contours([contour_of(mask)]),
            torch.tensor([0]), 36)
        worst.append((again[0] - torch.tensor(rays)).abs().max().item())
    assert np.median(worst) < 1.4 and max(worst) < 2.5


def test_random_masks_equal_the_slow_loop():
    """500 masks, locations inside, on and off the contour, several n."""
    rng = np.random.default_rng(1)
    contours = [contour_of(blob(rng, 23 + i % 40, 71 - i % 30))
                for i in range(500)]
    joined = polar.join_contours(contours)
    n = 36
    owners = torch.arange(500).repeat_interleave(2)
    points = torch.from_numpy(rng.integers(0, 60, (1000, 2)))
    points[::2] = torch.tensor([mass_center(c.numpy()) for c in contours])
    given_ = polar.bucket_rays(points, joined, owners, n)
    slow = [slow_rays(p, contours[k].tolist(), n)
            for p, k in zip(points.tolist(), owners.tolist())]
    assert torch.allclose(given_, torch.tensor(slow), rtol=3e-7, atol=0)


@pytest.mark.parametrize('n', [18, 24, 72, 90, 120])
@pytest.mark.parametrize('window, wrap', [(3, False), (1, True), (0, False)])
def test_other_numbers_of_rays(n, window, wrap):
    rng = np.random.default_rng(n)
    contours = [contour_of(blob(rng)) for _ in range(5)]
    points = torch.from_numpy(rng.integers(10, 50, (5, 2)))
    given_ = polar.bucket_rays(points, polar.join_contours(contours),
                               torch.arange(5), n, window, wrap)
    for row, point, contour in zip(given_, points.tolist(), contours):
        slow = slow_rays(point, contour.tolist(), n, window, wrap)
        assert row.tolist() == pytest.approx(slow, rel=3e-7, abs=0)


def test_small_disks_lose_rays():
    lost = {3: 28, 4: 20, 5: 24, 6: 8, 8: 8, 10: 4, 12: 0, 20: 0}
    for radius, empty in lost.items():
        ys, xs = np.mgrid[:64, :64] - 32
        mask = xs**2 + ys**2 <= radius**2
        contours = polar.join_contours([contour_of(mask)])
        rays = one([[32, 32]], contours, 36)
        assert (rays < 1e-3).sum() == empty, radius
        exact = polar.exact_rays(
            torch.tensor([[32, 32]]), contours, torch.tensor([0]), 36)
        assert (exact - radius).abs().max() < 1
        if empty == 0:
            assert polar.polar_centerness(rays) >= .955


def test_ray_zero_looks_to_one_side_only():
    """357 degrees is 3 to the left of down; seen with `wrap` only."""
    vertex = torch.tensor([[-3, 60]])  # 357.1 degrees
    contours = polar.Contours(vertex, torch.tensor([0, 1]))
    assert one([[0, 0]], contours, 36)[0, 0] == pytest.approx(E)
    assert one([[0, 0]], contours, 36, wrap=True)[0, 0] > 60


def test_location_on_its_only_vertex():
    contours = polar.Contours(torch.tensor([[7, 9]]), torch.tensor([0, 1]))
    rays = one([[7, 9]], contours, 36)
    assert rays[0, 0] == 0 and (rays[0, 1:] == E).all()
    assert polar.polar_centerness(rays * 0).tolist() == [0]


def slow_exact(point, contour, num_rays):
    """Cross each ray with each segment by solving two equations."""
    rays = []
    for k in range(num_rays):
        angle = 2 * math.pi * k / num_rays
        ux, uy = math.sin(angle), math.cos(angle)
        best = E
        for i, (x1, y1) in enumerate(contour):
            x2, y2 = contour[(i + 1) % len(contour)]
            # point + r * u = (1 - s) * first + s * second
            matrix = np.array([[ux, x1 - x2], [uy, y1 - y2]])
            goal = np.array([x1 - point[0], y1 - point[1]])
            if abs(np.linalg.det(matrix)) < 1e-9:
                if abs(ux * goal[1] - uy * goal[0]) < 1e-9:
                    best = max(best, ux * goal[0] + uy * goal[1],
                               ux * (x2 - point[0]) + uy * (y2 - point[1]))
                continue
            r, s = np.linalg.solve(matrix, goal)
            if -1e-9 <= s <= 1 + 1e-9:
                best = max(best, r)
        rays.append(best)
    return rays


def test_exact_rays_equal_a_slow_loop():
    rng = np.random.default_rng(3)
    contours = [contour_of(blob(rng, 17, 23)) for _ in range(12)]
    contours += [torch.tensor([[4, 5]]), torch.tensor([[4, 5], [9, 5]])]
    points = torch.from_numpy(rng.integers(2, 15, (len(contours), 2)))
    points[:6] = torch.tensor([mass_center(c.numpy()) for c in contours[:6]])
    given_ = polar.exact_rays(points, polar.join_contours(contours),
                              torch.arange(len(contours)), 9)
    for row, point, contour in zip(given_, points.tolist(), contours):
        slow = slow_exact(point, contour.tolist(), 9)
        assert row.tolist() == pytest.approx(slow, rel=1e-4, abs=1e-4)


def test_exact_rays_leave_none_empty_inside():
    rng = np.random.default_rng(4)
    for _ in range(50):
        mask = np.zeros((40, 44), np.uint8)
        axes = rng.integers(3, 9, 2).tolist()
        cv2.ellipse(mask, (20, 21), axes, rng.uniform(0, 90), 0, 360, 1, -1)
        contours = polar.join_contours([contour_of(mask)])
        center = torch.tensor([mass_center(contours.vertices.numpy())])
        exact = polar.exact_rays(center, contours, torch.tensor([0]), 36)
        assert exact.min() >= 1


@pytest.mark.parametrize('measure', [polar.bucket_rays, polar.exact_rays])
def test_groups_do_not_matter(measure, monkeypatch):
    rng = np.random.default_rng(5)
    contours = [contour_of(blob(rng)) for _ in range(4)]
    contours.insert(2, torch.zeros(0, 2, dtype=torch.int32))
    points = torch.from_numpy(rng.integers(0, 60, (30, 2)))
    owners = torch.from_numpy(rng.integers(0, 5, 30))
    joined = polar.join_contours(contours)
    whole = measure(points, joined, owners, 24)
    monkeypatch.setattr(polar, '_MAX_PAIRS', 97)
    assert torch.equal(measure(points, joined, owners, 24), whole)
    assert (whole[owners == 2] == E).all()
    for i in (0, 7, 29):
        alone = polar.join_contours([contours[owners[i]]])
        row = measure(points[i:i + 1], alone, torch.tensor([0]), 24)
        assert torch.equal(row[0], whole[i])


def test_padding_is_undone():
    lengths = torch.tensor([3, 0, 2])
    points = torch.arange(24).view(3, 4, 2)
    contours = polar.unpad_contours(points, lengths)
    assert contours.offsets.tolist() == [0, 3, 3, 5]
    assert torch.equal(contours.vertices,
                       torch.cat((points[0, :3], points[2, :2])))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 9), st.sampled_from([1, 2]))
def test_overlap_is_symmetric_bounded_and_scale_free(seed, factor, power):
    a, b = torch.rand(2, 5, 36, generator=torch.Generator().manual_seed(seed))
    a, b = 1 + 40 * a.double(), 1 + 40 * b.double()
    overlap = polar.polar_iou(a, b, power)
    assert torch.equal(overlap, polar.polar_iou(b, a, power))
    assert ((overlap > 0) & (overlap < 1)).all()
    assert torch.allclose(overlap,
                          polar.polar_iou(a * factor, b * factor, power))
    assert torch.equal(polar.polar_iou(a, a, power), torch.ones_like(overlap))


def random_objects(rng, count, height, width):
    boxes, centers, contours = [], [], []
    for _ in range(count):
        mask = np.zeros((height, width), np.uint8)
        axes = np.exp(rng.uniform(0.3, 4.3, 2)).astype(int).tolist()
        middle = rng.uniform((0, 0), (width, height)).astype(int).tolist()
        cv2.ellipse(mask, middle, axes, rng.uniform(0, 180), 0,
                    rng.integers(90, 361), 1, -1)
        contour = trace_contour(mask)
        boxes.append([*contour.min(0), *contour.max(0)])
        centers.append(mass_center(contour))
        contours.append(torch.from_numpy(contour))
    return torch.tensor(boxes).float(), torch.tensor(centers), contours


def test_assignment_equals_the_slow_loop_in_a_batch():
    """Images with many, one and no instance; ties included."""
    rng = np.random.default_rng(6)
    height, width = 140, 236
    sizes = [(-(-height // s), -(-width // s)) for s in LOOPS.STRIDES]
    grid = polar.PolarGrid(sizes, LOOPS.STRIDES, LOOPS.RANGES)
    made = [random_objects(rng, count, height, width)
            for count in (40, 1, 25)]
    made[0][0][5:8], made[0][1][5:8] = made[0][0][8], made[0][1][8]  # ties
    boxes, centers = (torch.cat([m[k] for m in made]) for k in (0, 1))
    areas = (boxes[:, 2:] - boxes[:, :2] + 1).prod(1)
    images = torch.tensor([0] * 40 + [2] + [3] * 25)
    positives, instances = polar.assign_locations(
        grid, polar.PolarObjects(boxes, centers, areas, images), 5)
    contours = [c for m in made for c in m[2]]
    points = grid.points(boxes.device)[positives % grid.num_locations]
    rays = polar.bucket_rays(points, polar.join_contours(contours), instances,
                             36)
    assert grid.num_locations == len(grid.points(boxes.device))
    first, total = 0, 0
    for image, (own, middle, lines) in zip((0, 2, 3), made):
        area = (own[:, 2:] - own[:, :2] + 1).prod(1)
        where, who, lengths = LOOPS.loop_targets(sizes, own, middle, lines,
                                                 area)
        rows = positives // grid.num_locations == image
        assert torch.equal(positives[rows] % grid.num_locations, where)
        assert torch.equal(instances[rows], who + first)
        assert torch.equal(rays[rows], lengths)
        first, total = first + len(own), total + len(where)
    assert total == len(positives) > 100


def test_order_of_instances_does_not_matter():
    rng = np.random.default_rng(7)
    boxes, centers, _ = random_objects(rng, 30, 140, 236)
    # Distinct areas: only ties may depend on the order.
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + torch.arange(30) / 64
    sizes = [(-(-140 // s), -(-236 // s)) for s in LOOPS.STRIDES]
    grid = polar.PolarGrid(sizes, LOOPS.STRIDES, LOOPS.RANGES)
    images = torch.zeros(30, dtype=torch.long)
    place, who = polar.assign_locations(
        grid, polar.PolarObjects(boxes, centers, areas, images), 1)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    place2, who2 = polar.assign_locations(
        grid,
        polar.PolarObjects(boxes[order], centers[order], areas[order],
                           images), 1)
    assert torch.equal(place, place2) and torch.equal(who, order[who2])


@pytest.mark.parametrize('radius', [0.5, 1.0, 2.3])
def test_other_radii(radius):
    """Against all pairs of a location and an instance."""
    rng = np.random.default_rng(8)
    boxes, centers, _ = random_objects(rng, 20, 90, 130)
    sizes, strides = [(12, 17), (6, 9)], (8, 16)
    grid = polar.PolarGrid(sizes, strides, [(-1, 1e8)] * 2)
    areas = torch.arange(20.)  # the first one wins
    place, who = polar.assign_locations(
        grid,
        polar.PolarObjects(boxes, centers, areas,
                           torch.zeros(20, dtype=torch.long)), 1, radius)
    expected = {}
    for p, (x, y) in enumerate(grid.points(boxes.device).tolist()):
        stride = strides[p >= 12 * 17]
        for k in range(20):
            x1, y1, x2, y2 = boxes[k].tolist()
            away = max(abs(x - centers[k, 0]), abs(y - centers[k, 1]))
            if away < radius * stride and x1 < x < x2 and y1 < y < y2:
                expected.setdefault(p, k)
    assert dict(zip(place.tolist(), who.tolist())) == expected


def test_worked_assignment():
    mask = np.zeros((128, 128), bool)
    mask[40:80, 30:70] = True
    contour = contour_of(mask)
    center = mass_center(contour.numpy())
    assert center == (49, 59)
    sizes = [(-(-128 // s), ) * 2 for s in LOOPS.STRIDES]
    grid = polar.PolarGrid(sizes, LOOPS.STRIDES, LOOPS.RANGES)
    box = torch.tensor([[30., 40, 69, 79]])
    place, who = polar.assign_locations(
        grid,
        polar.PolarObjects(box, torch.tensor([center]), torch.tensor([1600.]),
                           torch.tensor([0])), 1)
    assert place.tolist() == [101, 102, 103, 117, 118, 119, 133, 134, 135]
    points = grid.points(box.device)[place]
    assert points.tolist() == [[x, y] for y in (52, 60, 68)
                               for x in (44, 52, 60)]
    rays = polar.bucket_rays(points, polar.join_contours([contour]), who, 36)
    assert (rays > 1).all()
    middle = rays[4].tolist()
    assert [middle[k] for k in (0, 9, 18, 27)] == [19, 17, 20, 22]
    assert [middle[k] for k in (1, 13, 31)] == pytest.approx(
        [19.416, 22.672, 29.069], abs=5e-4)
    assert polar.polar_centerness(rays).tolist() == pytest.approx(
        [.5817, .5870, .4761, .6777, .7647, .5072, .5510, .5683, .4801],
        abs=5e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_gpu_equals_cpu():
    """To the bit, but for pixels on the edge between two buckets."""
    rng = np.random.default_rng(9)
    boxes, centers, contours = random_objects(rng, 40, 140, 236)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    objects = polar.PolarObjects(boxes, centers, areas,
                                 torch.arange(40) // 25)
    sizes = [(-(-140 // s), -(-236 // s)) for s in LOOPS.STRIDES]
    grid = polar.PolarGrid(sizes, LOOPS.STRIDES, LOOPS.RANGES)
    joined = polar.join_contours(contours)
    place, who = polar.assign_locations(grid, objects, 2)
    points = grid.points(place.device)[place % grid.num_locations]
    there = [polar.PolarObjects(*[part.cuda() for part in objects]),
             polar.Contours(*[part.cuda() for part in joined])]
    for one, other in zip(
            polar.assign_locations(grid, there[0], 2), (place, who)):
        assert torch.equal(one.cpu(), other)
    rays = polar.bucket_rays(points, joined, who, 36)
    other = polar.bucket_rays(points.cuda(), there[1], who.cuda(), 36).cpu()
    assert (rays != other).sum() <= 1e-4 * rays.numel()
    exact = polar.exact_rays(points, joined, who, 36)
    other = polar.exact_rays(points.cuda(), there[1], who.cuda(), 36).cpu()
    assert torch.isclose(exact, other, atol=1e-3).float().mean() > .999
