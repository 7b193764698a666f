"""Convert a project or an export of VIA (JSON or CSV) to COCO JSON."""
import argparse

from mmseghead.datasets.converters import via_to_coco
from mmseghead.datasets.converters.command import class_list, run_conversion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='the JSON or CSV')
    parser.add_argument('image_dir', help='folder of the images')
    parser.add_argument('target', help='the JSON to write')
    parser.add_argument(
        '--classes',
        type=class_list,
        default=(),
        metavar='FILE',
        help='file of class names, one a line, in the order wanted; without '
        'it all that are found, sorted')
    parser.add_argument(
        '--attribute', help='the region attribute that tells the class')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run_conversion(
        via_to_coco,
        args.source,
        args.image_dir,
        args.target,
        classes=args.classes,
        attribute=args.attribute)


if __name__ == '__main__':
    main()
