"""Write COCO JSON, or predictions, as a YOLO-seg data set.

Example: coco_to_yolo.py out --split train a/train.json a/train --split val
a/val.json a/val
"""
import argparse

from mmseghead.datasets.converters import YoloSplit, coco_to_yolo
from mmseghead.datasets.converters.command import run_conversion
from mmseghead.datasets.converters.yolo_writer import IMAGE_MODES


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('out_dir', help='a new or empty folder')
    parser.add_argument(
        '--split',
        nargs=3,
        action='append',
        required=True,
        metavar=('NAME', 'ANN_FILE', 'IMAGE_DIR'),
        help='may be given more than once')
    parser.add_argument(
        '--results',
        help='predictions (COCO results) instead of annotations, for a '
        'single split')
    parser.add_argument(
        '--score-thr', type=float, default=0.0, help='lowest score to write')
    parser.add_argument(
        '--tolerance',
        type=float,
        default=0.0,
        help='how far outlines of masks may move, in pixels, to have fewer '
        'points')
    parser.add_argument(
        '--images',
        choices=IMAGE_MODES,
        default='link',
        help='what to do with the images')
    args = parser.parse_args()
    if args.results and len(args.split) > 1:
        parser.error('--results needs exactly one --split')
    if len({name for name, *_ in args.split}) < len(args.split):
        parser.error('each --split needs a name of its own')
    return args


def main() -> None:
    args = parse_args()
    splits = {
        name: YoloSplit(ann_file, image_dir, args.results)
        for name, ann_file, image_dir in args.split
    }
    run_conversion(
        coco_to_yolo,
        splits,
        args.out_dir,
        score_thr=args.score_thr,
        tolerance_px=args.tolerance,
        images=args.images)


if __name__ == '__main__':
    main()
