"""Compare the models of the zoo in one table and in plots."""
import argparse
import sys
from pathlib import Path

from mmseghead.apis.compare import (FORMATS, METRICS, Filter, collect_rows,
                                    plot_rows, select_rows)
from mmseghead.apis.model_index import load_index
from mmseghead.utils import atomic_write


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--dataset', help='only this data set')
    parser.add_argument('--method', help='regular expression of collections')
    parser.add_argument('--backbone', help='regular expression of backbones')
    parser.add_argument('--source', help='regular expression: "measured" or '
                        '"reported"')
    parser.add_argument('--with-weights', action='store_true',
                        help='only models whose weights are published')
    parser.add_argument('--without-variants', action='store_true',
                        help='leave out variants of other models')
    parser.add_argument('--sort', default='mask AP', help='a metric '
                        f'({", ".join(METRICS)}) or parameters, gflops, '
                        'latency_ms')
    parser.add_argument('--hardware', help='whose latencies to show; the one '
                        'with most of them by default')
    parser.add_argument('--format', choices=list(FORMATS), default='text')
    parser.add_argument('--out', type=Path,
                        help='write the table to this file')
    parser.add_argument('--plots', type=Path, metavar='FOLDER',
                        help='write PNG plots into this folder')
    parser.add_argument('--root', type=Path,
                        help='folder of model_index.yml; found by default')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    chosen = Filter(args.dataset, args.method, args.backbone, args.source,
                    args.with_weights, args.without_variants)
    try:
        rows = collect_rows(load_index(args.root), args.hardware)
        rows = select_rows(rows, chosen, args.sort)
    except ValueError as error:
        sys.exit(str(error))
    text = FORMATS[args.format](rows)
    if args.out is None:
        print(text, end='')
    else:
        with atomic_write(args.out) as file:
            file.write(text)
        print(f'wrote {args.out}')
    if args.plots is not None:
        metric = args.sort if args.sort in METRICS else 'mask AP'
        for path in plot_rows(rows, args.plots, metric):
            print(f'wrote {path}')


if __name__ == '__main__':
    main()
