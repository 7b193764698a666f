"""Publish a trained checkpoint with the numbers of its run record.

See docs/publish.md.
"""
import argparse
import sys
from pathlib import Path

from mmseghead.apis.publish import SCHEME, publish_model


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', type=Path,
                        help='the last checkpoint of a finished training')
    parser.add_argument('--train-record', type=Path,
                        help='run_record_train.json beside it by default')
    parser.add_argument('--test-record', type=Path,
                        help='record of a test of this checkpoint, whose '
                        'metrics then count')
    parser.add_argument('--out', type=Path, metavar='MIRROR',
                        help='folder of published weights; the first of '
                        'MMSEGHEAD_WEIGHTS, or weights/, by default')
    parser.add_argument('--url-base', default=SCHEME,
                        help='start of the Weights URL (default: '
                        '%(default)s, looked up in the mirror folders)')
    parser.add_argument('--collection', help='collection of a new entry, if '
                        'the metafile has several')
    parser.add_argument('--seed-suffix', action='store_true',
                        help='only file the record, as <config>.seed<N>.json')
    parser.add_argument('--root', type=Path,
                        help='the checkout; found by default')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        done = publish_model(
            args.checkpoint,
            train_record=args.train_record,
            test_record=args.test_record,
            mirror=args.out,
            url_base=args.url_base,
            collection=args.collection,
            seed_only=args.seed_suffix,
            root=args.root)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f'Not published. {error}')
    numbers = ', '.join(f'{key} {value}' for key, value in
                        done.metrics.items())
    print(f'{done.name}: {numbers}\nrecord   {done.record}')
    if done.weights is not None:
        print(f'weights  {done.weights}\nsha256   {done.sha256}\n'
              f'metafile {done.metafile}')


if __name__ == '__main__':
    main()
