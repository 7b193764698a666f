"""Draw the stages of masks that a model refines, and which cells it took."""
import argparse
from pathlib import Path

from mmseghead import apis
from mmseghead.apis.draw_refinement import draw_refinement_stages

SUFFIXES = ('.png', '.jpg', '.jpeg')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('config', help='config of an EffSeg model')
    parser.add_argument('images', type=Path, nargs='+',
                        help='pictures, or folders of them')
    parser.add_argument('--checkpoint', required=True)
    parser.add_argument('--out', required=True, help='folder of the pictures')
    parser.add_argument('--num', type=int, help='draw that many images')
    parser.add_argument('--instances', type=int, default=4,
                        help='detections of an image to draw in detail')
    parser.add_argument('--score-thr', type=float, default=0.5)
    parser.add_argument('--device', default='cpu')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    images = []
    for path in args.images:
        images += sorted(p for p in path.iterdir() if p.suffix.lower() in
                         SUFFIXES) if path.is_dir() else [path]
    written = draw_refinement_stages(
        apis.load_config(args.config),
        images[:args.num],
        args.out,
        checkpoint=args.checkpoint,
        max_instances=args.instances,
        score_thr=args.score_thr,
        device=args.device)
    print(f'{len(written)} pictures in {args.out}')


if __name__ == '__main__':
    main()
