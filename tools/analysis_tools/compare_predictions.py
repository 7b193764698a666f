"""Compare two models' predictions on the same images, from COCO JSON alone.

Prints differences of average precision with intervals, error types and
confusion; ``--out`` writes them with plots and pictures. Any toolbox's COCO
results with masks will do.
"""
import argparse
import sys
from pathlib import Path
from typing import List, Optional, Tuple

from mmseghead.apis.compare_predictions import compare_predictions
from mmseghead.apis.comparison_pictures import write_comparison
from mmseghead.apis.comparison_report import to_text
from mmseghead.evaluation.evaluated_model import Settings


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('annotations', help='COCO JSON of the images')
    parser.add_argument('a', help='COCO results with masks (*.segm.json)')
    parser.add_argument('b', help='those of the other model')
    parser.add_argument('--names', nargs=2, metavar=('A', 'B'),
                        help='of the models; by default of the files')
    parser.add_argument('--out', type=Path, metavar='FOLDER',
                        help='write JSON, Markdown, plots and pictures here')
    parser.add_argument('--images', type=Path, metavar='FOLDER',
                        help='folder of the images, to draw on')
    parser.add_argument('--num-images', type=int, default=12,
                        help='images that differ most (12)')
    parser.add_argument('--score-thr', nargs='+', type=float, metavar='S',
                        help='least score of sure detections, one for both '
                        'models or two; by default that of the best F1')
    parser.add_argument('--max-dets', type=int, default=100,
                        help='detections by image and class (100)')
    parser.add_argument('--resamples', type=int, default=1000,
                        help='of the images, for the intervals (1000)')
    parser.add_argument('--confidence', type=float, default=0.95,
                        help='of the intervals (0.95)')
    parser.add_argument('--seed', type=int, default=0,
                        help='of the resamples (0)')
    args = parser.parse_args()
    if args.score_thr and len(args.score_thr) > 2:
        parser.error('--score-thr takes one or two numbers')
    if args.images and not args.out:
        parser.error('--images needs --out, the folder of the pictures')
    return args


def thresholds(values: Optional[List[float]]) -> Optional[Tuple]:
    """Return a threshold for each model, None for the default."""
    return (values[0], values[-1]) if values else None


def main() -> None:
    args = parse_args()
    try:
        settings = Settings(
            max_dets=args.max_dets, score_thr=thresholds(args.score_thr),
            resamples=args.resamples, confidence=args.confidence,
            seed=args.seed)
        comparison = compare_predictions(
            args.annotations, args.a, args.b, names=args.names,
            settings=settings)
        print(to_text(comparison, args.num_images), end='')
        if args.out is not None:
            written = write_comparison(
                comparison, args.out, images=args.images,
                num_images=args.num_images)
            print(f'{len(written)} files in {args.out}')
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))


if __name__ == '__main__':
    main()
