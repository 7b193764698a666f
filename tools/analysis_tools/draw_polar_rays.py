"""Draw the rays and contours that PolarMask makes of ground truth."""
import argparse

from mmseghead.apis.polar_bound import draw_polar_targets


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('ann_file', help='COCO JSON with masks')
    parser.add_argument('images', help='folder of the images')
    parser.add_argument('--out', required=True, help='folder of the pictures')
    parser.add_argument('--rays', type=int, default=36)
    parser.add_argument('--exact-rays', action='store_true')
    parser.add_argument('--num', type=int, help='draw that many images')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    written = draw_polar_targets(
        args.ann_file,
        args.images,
        args.out,
        num_rays=args.rays,
        exact=args.exact_rays,
        num=args.num)
    print(f'{len(written)} pictures in {args.out}')


if __name__ == '__main__':
    main()
