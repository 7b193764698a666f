"""Keep the annotations of LVIS on COCO's 80 classes, to measure AP*."""
import argparse
from pathlib import Path

from mmseghead.datasets.converters import convert_lvis_to_coco_classes


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        'source', type=Path, help='annotations of LVIS, e.g. lvis_v1_val.json')
    parser.add_argument('target', type=Path, help='the JSON to write')
    parser.add_argument(
        '--images',
        type=Path,
        help='a COCO JSON, e.g. instances_val2017.json: keep its images only')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    report = convert_lvis_to_coco_classes(args.source, args.target,
                                          args.images)
    print(f'{args.target}: {report.images} images, {report.annotations} '
          'annotations')
    if report.absent_classes:
        print('without annotations in the source, thus not counted: ' +
              ', '.join(report.absent_classes))


if __name__ == '__main__':
    main()
