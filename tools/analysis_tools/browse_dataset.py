"""Draw what a config's data set feeds to the model.

Images as the pipeline leaves them, augmentation included, with masks, boxes,
classes and ignored regions (grey).
"""
import argparse
import sys
from pathlib import Path

from mmseghead import apis
from mmseghead.apis.browse import SPLITS, browse, write_pictures, write_sheet


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('--split', choices=SPLITS, default='train')
    parser.add_argument('--num', type=int, default=8,
                        help='images (8), evenly spread over the set; 0: all')
    parser.add_argument('--random', action='store_true',
                        help='draw the images at random, with --seed')
    parser.add_argument('--seed', type=int, default=0,
                        help='of images and augmentation (0)')
    parser.add_argument('--draws', type=int, default=1,
                        help='augment each image this often, side by side')
    parser.add_argument('--no-boxes', action='store_true',
                        help='draw masks only')
    parser.add_argument('--out', type=Path, metavar='FOLDER',
                        help='write one picture per image here')
    parser.add_argument('--sheet', type=Path, metavar='PNG',
                        help='write all pictures on one sheet')
    parser.add_argument('--columns', type=int, default=4,
                        help='pictures a row of the sheet (4)')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE',
                        help='overrides of the config')
    args = parser.parse_args()
    if not args.out and not args.sheet:
        parser.error('give --out FOLDER, --sheet PNG or both')
    for name in ('draws', 'columns'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} must be >= 1')
    return args


def main() -> None:
    args = parse_args()
    try:
        cfg = apis.load_config(
            args.config, cfg_options=apis.parse_options(args.cfg_options))
        pictures = browse(
            cfg, args.split, num=args.num or None,
            random_seed=args.seed if args.random else None,
            draws=args.draws, seed=args.seed, with_boxes=not args.no_boxes)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))
    except KeyError as error:
        sys.exit(str(error.args[0]))
    if args.out:
        write_pictures(pictures, args.out)
        print(f'{len(pictures)} pictures in {args.out}')
    if args.sheet:
        write_sheet(pictures, args.sheet, args.columns)
        print(f'wrote {args.sheet}')


if __name__ == '__main__':
    main()
