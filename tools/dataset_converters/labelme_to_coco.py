"""Convert a folder of labelme's files to COCO JSON."""
import argparse

from mmseghead.datasets.converters import labelme_to_coco
from mmseghead.datasets.converters.command import class_list, run_conversion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('source', help='folder of the .json files')
    parser.add_argument('target', help='the JSON to write')
    parser.add_argument(
        '--classes',
        type=class_list,
        default=(),
        metavar='FILE',
        help='file of class names, one a line, in the order wanted; without '
        'it all labels, sorted')
    parser.add_argument(
        '--image-dir', help='folder of the images, if it is not the source')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run_conversion(
        labelme_to_coco,
        args.source,
        args.target,
        classes=args.classes,
        image_dir=args.image_dir)


if __name__ == '__main__':
    main()
