"""Write COCO JSON, or predictions, as PNGs of 16-bit ids, each with a JSON."""
import argparse

from mmseghead.datasets.converters import coco_to_png
from mmseghead.datasets.converters.command import run_conversion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann_file', help='the COCO JSON')
    parser.add_argument('out_dir', help='a new or empty folder')
    parser.add_argument(
        '--results', help='predictions (COCO results) instead of annotations')
    parser.add_argument(
        '--score-thr', type=float, default=0.0, help='lowest score to write')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run_conversion(
        coco_to_png,
        args.ann_file,
        args.out_dir,
        results=args.results,
        score_thr=args.score_thr)


if __name__ == '__main__':
    main()
