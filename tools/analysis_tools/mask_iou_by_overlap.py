"""Print how good found masks are, by what their objects' boxes overlap.

An object is found if a prediction of its class has a box IoU of at least 0.5
with it; the surest one counts. Where predictions hold ``places`` (PointINS),
it also says how many found objects share their point with another one.
"""
import argparse
import contextlib
import io
import pickle
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_util
from pycocotools.coco import COCO

#: From which IoU on two boxes of the ground truth overlap, up to which not.
OVERLAP, APART = 0.05, 0.02


def xywh(boxes):
    """Return (n, 4) boxes with sizes in place of their ends."""
    boxes = np.asarray(boxes).astype(float).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def objects_of(coco, labels, prediction):
    """Yield (same, other, IoU or NaN, place or None) of an image's objects.

    ``same`` and ``other`` are the largest box IoU with another object of the
    same class and with one of another class.
    """
    truth = coco.loadAnns(coco.getAnnIds([prediction['img_id']]))
    if not truth:
        return
    found = prediction['pred_instances']
    boxes = np.array([item['bbox'] for item in truth], float)
    kinds = np.array([labels[item['category_id']] for item in truth])
    near = mask_util.iou(boxes, boxes, [0] * len(boxes))
    np.fill_diagonal(near, 0)
    alike = kinds[:, None] == kinds
    kind, score = np.asarray(found['labels']), np.asarray(found['scores'])
    fits = np.zeros((len(kind), len(truth)), bool)
    if len(kind):
        fits = mask_util.iou(xywh(found['bboxes']), boxes,
                             [0] * len(boxes)) >= 0.5
    for j, item in enumerate(truth):
        rows = np.flatnonzero(fits[:, j] & (kind == kinds[j]))
        iou, place = np.nan, None
        if len(rows):
            best = rows[score[rows].argmax()]
            iou = mask_util.iou([found['masks'][best]], [coco.annToRLE(item)],
                                [0])[0, 0]
            if 'places' in found:  # level, row, column of an image
                place = (prediction['img_id'],
                         *np.asarray(found['places'])[best, :3].tolist())
        yield (near * alike)[j].max(), (near * ~alike)[j].max(), iou, place


def report(path, coco):
    """Print the figures of one model."""
    labels = {number: i for i, number in enumerate(sorted(coco.getCatIds()))}
    with path.open('rb') as file:  # written by the user's own tools/test.py
        predictions = pickle.load(file)
    rows = [row for item in predictions
            for row in objects_of(coco, labels, item)]
    same, other, iou = np.array([row[:3] for row in rows], float).T
    print(f'{path}\n  {"objects":36} number  found  mean IoU of found')
    for name, chosen in (
            ('all', same >= 0), ('box overlaps none',
                                 (same < APART) & (other < APART)),
            ('overlaps one of the same class', same > OVERLAP),
            ('overlaps one of another class only',
             (same < APART) & (other > OVERLAP))):
        values = iou[chosen]
        print(f'  {name:36} {len(values):6}  {np.isfinite(values).mean():.3f}'
              f'  {np.nanmean(values):.3f}')
    places = [row[3] for row in rows if row[3] is not None]
    if places:
        shared = sum(places.count(place) > 1 for place in places)
        print(f'  {shared} of {len(places)} found objects share their point')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('annotations', help='COCO JSON')
    parser.add_argument('predictions', nargs='+', type=Path,
                        help='files of `tools/test.py ... --out FILE.pkl`')
    args = parser.parse_args()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(args.annotations)
    for path in args.predictions:
        report(path, coco)


if __name__ == '__main__':
    main()
