"""Time PolarMask's targets against plain loops, in one thread's CPU time."""
import argparse
import json
import math
import time

import cv2
import numpy as np
import torch

from mmseghead.functional import contours as tracing
from mmseghead.functional import polar
from mmseghead.utils import atomic_write

STRIDES = (8, 16, 32, 64, 128)
RANGES = ((-1, 64), (64, 128), (128, 256), (256, 512), (512, 1e8))


def loop_rays(point, contour, num_rays=36):
    """Measure the rays of one location, ray by ray."""
    dx, dy = contour[:, 0] - point[0], contour[:, 1] - point[1]
    angles = torch.atan2(dx, dy) * 180 / math.pi
    angles[angles < 0] += 360
    angles = angles.int()
    distances = torch.sqrt(dx**2 + dy**2)
    rays = []
    for angle in range(0, 360, 360 // num_rays):
        for step in (0, 1, -1, 2, -2, 3, -3):
            if angle + step in angles:
                rays.append(distances[angles == angle + step].max())
                break
        else:
            rays.append(torch.tensor(1e-6))
    return torch.stack(rays)


def loop_targets(sizes, boxes, centers, contours, areas, num_rays=36,
                 strides=STRIDES, ranges=RANGES):
    """Compute one image's positions, instances and rays, one by one."""
    points = torch.tensor([(j * s + s // 2, i * s + s // 2, s, *limit)
                           for (h, w), s, limit in zip(sizes, strides, ranges)
                           for i in range(h) for j in range(w)])
    points, steps, limits = points.split((2, 1, 2), 1)
    place, square = points[:, None], 1.5 * steps[:, None]
    low = torch.maximum(centers - square, boxes[None, :, :2])
    high = torch.minimum(centers + square, boxes[None, :, 2:])
    inside = torch.cat((place - low, high - place), 2).min(2)[0] > 0
    reach = torch.cat((place - boxes[:, :2], boxes[:, 2:] - place), 2).max(2)[0]
    fits = (reach >= limits[:, :1]) & (reach <= limits[:, 1:])
    area = areas[None].repeat(len(points), 1)
    area[~(inside & fits)] = float('inf')
    best, instances = area.min(1)
    positives = (best < float('inf')).nonzero()[:, 0]
    rays = [loop_rays(points[p], contours[instances[p]].float(), num_rays)
            for p in positives]
    rays = torch.stack(rays) if rays else torch.zeros(0, num_rays)
    return positives, instances[positives], rays


def tensor_targets(sizes, boxes, centers, contours, areas):
    """Compute the same of all images; arguments are lists, one an image."""
    counts = torch.tensor([len(one) for one in boxes])
    images = torch.arange(len(boxes)).repeat_interleave(counts)
    grid = polar.PolarGrid(sizes, STRIDES, RANGES)
    objects = polar.PolarObjects(
        torch.cat(boxes), torch.cat(centers), torch.cat(areas), images)
    positives, instances = polar.assign_locations(grid, objects, len(boxes))
    points = grid.points(positives.device)[positives % grid.num_locations]
    joined = polar.join_contours([c for image in contours for c in image])
    return positives, instances, polar.bucket_rays(points, joined, instances,
                                                   36)


def make_image(rng, height, width, count):
    """Return boxes, centres, contours and areas of tilted ellipses."""
    boxes, centers, contours = [], [], []
    for _ in range(count):
        mask = np.zeros((height, width), np.uint8)
        axes = np.exp(rng.uniform(np.log(10), np.log(200), 2)).astype(int)
        middle = rng.uniform((0, 0), (width, height)).astype(int)
        cv2.ellipse(mask, middle.tolist(), axes.tolist(),
                    rng.uniform(0, 180), 0, 360, 1, -1)
        contour = tracing.trace_contour(mask)
        boxes.append(np.concatenate((contour.min(0), contour.max(0) + 1)))
        centers.append(tracing.mass_center(contour))
        contours.append(torch.from_numpy(contour))
    boxes = torch.from_numpy(np.stack(boxes)).float()
    return (boxes, torch.tensor(centers), contours,
            (boxes[:, 2:] - boxes[:, :2]).prod(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    sizes = [(-(-768 // s), -(-1280 // s)) for s in STRIDES]
    made = [make_image(rng, 768, 1280, 20) for _ in range(2)]
    times, results = dict(loop=[], tensors=[]), {}
    for _ in range(args.repeats):
        for name, run in (
                ('loop', lambda: [loop_targets(sizes, *one) for one in made]),
                ('tensors', lambda: tensor_targets(sizes, *zip(*made)))):
            start = time.process_time()
            results[name] = run()
            times[name].append(time.process_time() - start)
    rays = torch.cat([one[2] for one in results['loop']])
    row = dict({k: 1e3 * min(v) for k, v in times.items()}, positives=len(rays))
    row['ratio'] = row['loop'] / row['tensors']
    row['equal'] = torch.equal(rays, results['tensors'][2])
    print(json.dumps(row, indent=1))
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(row, file, indent=1)


if __name__ == '__main__':
    main()
