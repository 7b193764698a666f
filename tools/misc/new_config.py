"""Make a config of the zoo ready for your own images and COCO JSON."""
import argparse
import sys
from pathlib import Path

from mmseghead.apis.new_config import DataSource, NewConfigOptions, new_config
from mmseghead.apis.preflight import preflight
from mmseghead.apis.train import load_config
from mmseghead.utils.findings import describe_findings, has_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='name of a config of the zoo, such as '
                        'mask-rcnn_quick_nuclei, or a path')
    parser.add_argument('images', type=Path, help='folder of the images')
    parser.add_argument('annotations', type=Path, help='their COCO JSON')
    parser.add_argument('--out', type=Path, required=True,
                        help='the config to write, .py')
    parser.add_argument('--val-images', type=Path,
                        help='as `images` by default')
    parser.add_argument('--val-annotations', type=Path,
                        help='without it some images are put aside')
    parser.add_argument('--val-percent', type=int, default=20,
                        help='how many of them, in per cent')
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--image-size', type=int, nargs=2, metavar=('W', 'H'))
    parser.add_argument('--epochs', type=float,
                        help='how often to see each image')
    parser.add_argument('--load-from', default='published',
                        help='weights to begin with, or "none"')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    val = None
    if args.val_annotations is not None:
        val = DataSource(args.val_annotations, args.val_images or args.images)
    try:
        options = NewConfigOptions(
            batch_size=args.batch_size,
            image_size=args.image_size and tuple(args.image_size),
            epochs=args.epochs,
            val_percent=args.val_percent,
            load_from=args.load_from)
        made = new_config(args.config,
                          DataSource(args.annotations, args.images), args.out,
                          val, options)
    except (ValueError, KeyError, OSError) as error:
        sys.exit(str(error.args[0] if error.args else error))
    print('\n'.join(made.notes))
    found = preflight(load_config(str(made.path)))
    print(describe_findings(found))
    if has_errors(found):
        sys.exit(f'{made.path} is written, but not ready: mend the errors.')
    print(f'{made.path} is ready:\n  mim train mmseghead {made.path}')


if __name__ == '__main__':
    main()
