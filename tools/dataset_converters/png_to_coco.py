"""Convert PNG instance masks to COCO JSON."""
import argparse

from mmseghead.datasets.converters import png_to_coco
from mmseghead.datasets.converters.command import class_list, run_conversion
from mmseghead.datasets.converters.png_reader import RULES


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('image_dir', help='folder of the images')
    parser.add_argument('mask_dir', help='folder of the masks, laid out alike')
    parser.add_argument('target', help='the JSON to write')
    parser.add_argument(
        '--rule',
        choices=RULES,
        default='sidecar',
        help='sidecar: ids, and a JSON beside each PNG; single: ids of one '
        'class; thousands: class_id * 1000 + n; files: a folder of one PNG a '
        'mask for each image')
    parser.add_argument(
        '--classes',
        type=class_list,
        default=(),
        metavar='FILE',
        help='file of class names, one a line')
    parser.add_argument(
        '--class-ids',
        type=int,
        nargs='+',
        default=(),
        help='numbers of the classes for thousands; 1 to n by default')
    parser.add_argument(
        '--ignore',
        type=int,
        nargs='+',
        default=(),
        help='ids that are no instances, such as 255')
    parser.add_argument(
        '--mask-suffix',
        default='',
        help="what a mask's name has behind the image's, before .png")
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run_conversion(
        png_to_coco,
        args.image_dir,
        args.mask_dir,
        args.target,
        rule=args.rule,
        classes=args.classes,
        class_ids=args.class_ids,
        ignore=args.ignore,
        mask_suffix=args.mask_suffix)


if __name__ == '__main__':
    main()
