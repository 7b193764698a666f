"""Convert a YOLO-seg data set to COCO JSON."""
import argparse

from mmseghead.datasets.converters import yolo_to_coco
from mmseghead.datasets.converters.command import class_list, run_conversion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source', help='data.yaml, or a folder with images/ and labels/')
    parser.add_argument('target', help='the JSON to write')
    parser.add_argument(
        '--split', default='train', help='key of data.yaml: train, val, test')
    parser.add_argument(
        '--classes',
        type=class_list,
        default=(),
        metavar='FILE',
        help='file of class names, one a line, for a folder')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    run_conversion(
        yolo_to_coco,
        args.source,
        args.target,
        split=args.split,
        classes=args.classes)


if __name__ == '__main__':
    main()
