"""Write COCO JSON, or predictions, for labelme: one JSON an image."""
import argparse

from mmseghead.datasets.converters import coco_to_labelme
from mmseghead.datasets.converters.command import run_conversion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('ann_file', help='the COCO JSON')
    parser.add_argument('image_dir', help='folder of its images')
    parser.add_argument(
        'out_dir', help='folder of the JSONs; may be that of the images')
    parser.add_argument(
        '--results', help='predictions (COCO results) instead of annotations')
    parser.add_argument(
        '--score-thr', type=float, default=0.0, help='lowest score to write')
    parser.add_argument(
        '--tolerance',
        type=float,
        default=0.0,
        help='how far outlines of masks may move, in pixels, to have fewer '
        'points; 0.5 is good to edit')
    parser.add_argument(
        '--overwrite', action='store_true', help='replace JSONs that exist')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run_conversion(
        coco_to_labelme,
        args.ann_file,
        args.image_dir,
        args.out_dir,
        results=args.results,
        score_thr=args.score_thr,
        tolerance_px=args.tolerance,
        overwrite=args.overwrite)


if __name__ == '__main__':
    main()
