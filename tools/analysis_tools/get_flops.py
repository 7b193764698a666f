"""Parameters and FLOPs of configs, in all and per stage.

One multiply-add is one FLOP. Counted for one image at the config's test size,
with the RoIs of its test settings and 100 instances for every method.
"""
import argparse
import sys
from pathlib import Path
from typing import List, Tuple

from mmseghead.apis.cost import NUM_INSTANCES, Cost, measure_cost, write_cost
from mmseghead.apis.metafile import list_config
from mmseghead.apis.model_index import find_root, load_index


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('configs', nargs='*', type=Path)
    parser.add_argument('--all', action='store_true',
                        help='every config of the zoo')
    parser.add_argument('--shape', nargs=2, type=int, metavar=('H', 'W'),
                        help='size of the image; the test size by default')
    parser.add_argument('--proposals', type=int,
                        help='RoIs; test_cfg.rpn.max_per_img by default')
    parser.add_argument('--instances', type=int, default=NUM_INSTANCES)
    parser.add_argument('--write', action='store_true',
                        help='put the figures into the metafiles (only with '
                        'default size and counts)')
    parser.add_argument('--root', type=Path,
                        help='folder of model_index.yml; found by default')
    args = parser.parse_args()
    if bool(args.configs) == args.all:
        parser.error('give configs, or --all')
    changed = args.shape or args.proposals or args.instances != NUM_INSTANCES
    if args.write and changed:
        parser.error('--write takes the default size and counts, so that the '
                     'metafiles compare')
    return args


def show(path: Path, cost: Cost) -> None:
    """Print the table of one config."""
    height, width = cost.img_shape
    print(f'{path.stem}: one image of {height} x {width} (h x w)')
    lines: List[Tuple[str, int, int]] = [
        (name, stage.parameters, stage.flops)
        for name, stage in cost.stages.items()
    ]
    for name, parameters, flops in lines + [
        ('total', cost.parameters, cost.flops)
    ]:
        print(f'  {name:24} {parameters / 1e6:9.3f} M params '
              f'{flops / 1e9:10.3f} GFLOPs')


def write(path: Path, cost: Cost, root: Path) -> None:
    """Put the figures into the metafile, with a new entry if need be."""
    added = list_config(root, path)
    changed = write_cost(load_index(root)[path.stem], cost)
    if added or changed:
        print(f'  written to {path.parent / "metafile.yml"}')


def main() -> None:
    args = parse_args()
    root = args.root or find_root()
    paths = args.configs
    if args.all:
        paths = sorted(path for path in (root / 'configs').glob('*/*.py')
                       if path.parent.name != '_base_')
    for path in paths:
        cost = measure_cost(path, tuple(args.shape) if args.shape else None,
                            args.proposals, args.instances)
        show(path, cost)
        if args.write:
            write(path, cost, root)
        sys.stdout.flush()


if __name__ == '__main__':
    main()
