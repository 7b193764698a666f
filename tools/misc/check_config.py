"""Check a config, its data and its model without training."""
import argparse
import sys

from mmseghead.apis.preflight import preflight
from mmseghead.apis.train import load_config, parse_options
from mmseghead.utils.findings import describe_findings, has_errors


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config')
    parser.add_argument('--images', type=int, default=50,
                        help='how many images of each set to open')
    parser.add_argument('--all-images', action='store_true',
                        help='open every image')
    parser.add_argument('--no-memory', action='store_true',
                        help='do not estimate the memory of a step')
    parser.add_argument('--cfg-options', nargs='+', metavar='KEY=VALUE')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        cfg = load_config(
            args.config, cfg_options=parse_options(args.cfg_options))
    except (ValueError, KeyError, TypeError, OSError, SyntaxError) as error:
        sys.exit(f'{args.config}: {error}')
    found = preflight(
        cfg,
        images=None if args.all_images else args.images,
        memory=not args.no_memory)
    print(describe_findings(found))
    if has_errors(found):
        sys.exit('Not ready: mend the errors above.')
    print('Ready to train: '
          f'mim train mmseghead {args.config}, or python tools/train.py '
          f'{args.config}')


if __name__ == '__main__':
    main()
