"""Convert Cityscapes' fine annotations to COCO JSON."""
import argparse

from mmseghead.datasets.converters import cityscapes_to_coco
from mmseghead.datasets.converters.command import run_conversion


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'root',
        nargs='?',
        default='data/cityscapes',
        help='folder with gtFine and leftImg8bit; the JSONs go to its '
        'annotations/')
    parser.add_argument(
        '--splits', nargs='+', default=('train', 'val'), metavar='SPLIT')
    parser.add_argument(
        '--source',
        choices=('png', 'polygons'),
        default='png',
        help='*_instanceIds.png or *_polygons.json')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    for split in args.splits:
        print(f'{split}:')
        run_conversion(
            cityscapes_to_coco, args.root, split, source=args.source)


if __name__ == '__main__':
    main()
