"""Time faster-coco-eval and pycocotools on the same detections, in turns.

Index, results, matching and accumulation; average precision must be equal.
Times are computed time of all threads.
"""
import argparse
import contextlib
import copy
import io
import json
from functools import partial

import faster_coco_eval
import numpy as np
import pycocotools.coco
import pycocotools.cocoeval
import torch
from measures import in_turns
from pycocotools import mask as mask_api

from mmseghead.utils import atomic_write

SHAPE = (480, 640)
BACKENDS = {
    'faster-coco-eval':
    (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
    'pycocotools': (pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval)
}


def ellipse(center, radius):
    """Return an ellipse as RLE for JSON, with area and box."""
    y, x = np.ogrid[:SHAPE[0], :SHAPE[1]]
    mask = ((y - center[0]) / radius[0])**2 + (
        (x - center[1]) / radius[1])**2 <= 1
    mask[tuple(np.clip(center, 0, np.array(SHAPE) - 1).astype(int))] = True
    rle = mask_api.encode(np.asfortranarray(mask, np.uint8))
    return dict(
        segmentation=dict(
            size=list(SHAPE), counts=rle['counts'].decode('ascii')),
        area=float(mask_api.area(rle)),
        bbox=mask_api.toBbox(rle).tolist())


def make_data(num_images, num_classes, per_image, rng):
    """Return annotations, and about three detections an instance."""
    images, annotations, results = [], [], []
    for image in range(1, num_images + 1):
        images.append(dict(id=image, height=SHAPE[0], width=SHAPE[1]))
        for _ in range(per_image):
            center, radius = rng.uniform(0, SHAPE), rng.uniform(8, 60, 2)
            common = dict(
                image_id=image, category_id=int(rng.integers(num_classes)) + 1)
            annotations.append(
                dict(common, **ellipse(center, radius), iscrowd=0,
                     id=len(annotations) + 1))
            for _ in range(3):
                found = ellipse(center + rng.normal(0, 0.2, 2) * radius,
                                radius * rng.uniform(0.7, 1.3, 2))
                results.append(
                    dict(common, segmentation=found['segmentation'],
                         score=float(rng.random())))
    categories = [dict(id=k + 1, name=str(k)) for k in range(num_classes)]
    return dict(images=images, annotations=annotations,
                categories=categories), results


def evaluate(backend, copies, kind):
    """Return the table of precisions (T, R, K, A, M); uses up a copy."""
    index, evaluator = BACKENDS[backend]
    annotations, results = copies.pop()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = index()
        truth.dataset = annotations
        truth.createIndex()
        found = truth.loadRes(results)
        run = evaluator(truth, found, kind)
        run.evaluate()
        run.accumulate()
    return np.asarray(run.eval['precision'])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--images', type=int, default=200)
    parser.add_argument('--per-image', type=int, default=10,
                        help='instances; three times as many detections')
    parser.add_argument('--classes', type=int, default=20)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    annotations, results = make_data(args.images, args.classes, args.per_image,
                                     np.random.default_rng(0))
    print(f'{args.images} images, {len(annotations["annotations"])} instances'
          f', {len(results)} detections')
    figures = dict(detections=len(results))
    for kind in ('segm', 'bbox'):
        # Both change what they are given: everybody gets a fresh copy.
        copies = [copy.deepcopy((annotations, results))
                  for _ in range(2 * args.repeats)]
        calls = {n: partial(evaluate, n, copies, kind) for n in BACKENDS}
        times, tables = in_turns(args.repeats, torch.device('cpu'), **calls)
        one, other = tables.values()
        gap = float(np.abs(one - other).max())
        if gap > 1e-9:
            raise SystemExit(f'{kind}: precisions differ by up to {gap}')
        ratio = times['pycocotools'] / times['faster-coco-eval']
        table = other[..., 0, -1]
        ap = float(table[table > -1].mean())
        figures[kind] = dict(times, ratio=ratio, ap=ap, largest_gap=gap)
        shown = ', '.join(f'{name} {ms:.0f} ms' for name, ms in times.items())
        print(f'{kind}: AP {ap:.4f} in both (largest gap {gap:.1e}); {shown}; '
              f'{ratio:.1f} times as fast')
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(figures, file, indent=1)


if __name__ == '__main__':
    main()
