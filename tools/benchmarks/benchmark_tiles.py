"""Measure what tiles find in a large image against each image by itself.

The first square validation images of one size are put together to a mosaic.
It is predicted on image by image, in tiles, and as a whole; a mask that
overlaps one of the ground truth with an IoU of at least 0.5 is right, each
mask of the ground truth counts once.
"""
import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.registry import DATASETS, init_default_scope
from pycocotools import mask as mask_util

from mmseghead import apis
from mmseghead.apis.model_index import find_weights
from mmseghead.functional.mask_rle import place_rle, to_rles
from mmseghead.functional.mask_voting import rle_ious
from mmseghead.utils import atomic_write


def scenes(cfg, side):
    """Yield images of the config's validation set and their masks."""
    init_default_scope(cfg.default_scope)
    dataset = DATASETS.build(dict(cfg.val_dataloader.dataset, pipeline=[]))
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        if (info['height'], info['width']) == (side, side):
            masks = [found['mask'] for found in info['instances']]
            yield cv2.imread(info['img_path']), [
                rle_of(mask, side) for mask in masks
            ]


def rle_of(mask, side):
    """Return polygons, or counts as a list or text, as RLE."""
    if isinstance(mask, list):
        return mask_util.merge(mask_util.frPyObjects(mask, side, side))
    if isinstance(mask['counts'], list):
        return mask_util.frPyObjects(mask, side, side)
    return mask


def agreement(found, truth, threshold=0.5):
    """Return precision and recall; best pairs first."""
    ious, right = rle_ious(found, truth), 0
    while ious.size and ious.max() >= threshold:
        row, column = np.unravel_index(ious.argmax(), ious.shape)
        ious[row], ious[:, column] = -1, -1
        right += 1
    return right / max(len(found), 1), right / max(len(truth), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', type=Path)
    parser.add_argument('--checkpoint', default='published')
    parser.add_argument('--side', type=int, default=256,
                        help='of the images taken, and of the tiles, in px')
    parser.add_argument('--per-row', type=int, default=8)
    parser.add_argument('--score-thr', type=float, default=0.3)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cfg = apis.load_config(str(args.config))
    number, side = args.per_row**2, args.side
    images, masks = zip(*scenes(cfg, side))
    turns = [i % len(images) for i in range(number)]
    places = [(i // args.per_row * side, i % args.per_row * side)
              for i in range(number)]
    size = (args.per_row * side, ) * 2
    mosaic = np.zeros((*size, 3), np.uint8)
    for i, (top, left) in zip(turns, places):
        mosaic[top:top + side, left:left + side] = images[i]

    def placed(parts):
        return [
            place_rle(rle, *place, size) for part, place in zip(parts, places)
            for rle in part
        ]

    checkpoint = args.checkpoint
    if checkpoint == 'published':
        checkpoint = str(find_weights(args.config.stem))
    truth, figures = placed([masks[i] for i in turns]), {}
    print(f'{len(truth)} instances in {size[0]} x {size[1]} px\n'
          '| | found | precision | recall | s |\n|---|--:|--:|--:|--:|')
    for name, tile in (('each image by itself', None), ('tiles', side),
                       ('mosaic as a whole', None)):
        predict = apis.Predictor(
            cfg, checkpoint, tile=tile, score_thr=args.score_thr)
        alone = name == 'each image by itself'
        begin = time.process_time()
        found = predict([images[i] for i in turns] if alone else [mosaic])
        rles = [to_rles(item.masks) for item in found]
        seconds = time.process_time() - begin
        rles = placed(rles) if alone else rles[0]
        values = (len(rles), *agreement(rles, truth), seconds)
        figures[name] = dict(
            zip(('found', 'precision', 'recall', 'seconds'), values))
        print('| {} | {} | {:.3f} | {:.3f} | {:.1f} |'.format(name, *values),
              flush=True)
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(figures, file, indent=1)


if __name__ == '__main__':
    main()
