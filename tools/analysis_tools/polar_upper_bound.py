"""Measure how well rays can express the masks of a data set."""
import argparse
import dataclasses
import json
from pathlib import Path

from mmseghead.apis import polar_bound
from mmseghead.utils import atomic_write
from mmseghead.visualization.polar import plot_bounds


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('ann_file', help='COCO JSON with masks')
    parser.add_argument('--rays', type=int, nargs='+', metavar='N',
                        default=[4, 8, 18, 24, 36, 72, 90, 120])
    parser.add_argument('--exact-rays', action='store_true',
                        help='cross rays with the contour, not the reference')
    parser.add_argument('--round', action='store_true',
                        help='round contour points instead of cutting them')
    parser.add_argument('--out', help='JSON file for the figures')
    parser.add_argument('--plot', help='picture file for the plot')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    rays = sorted(set(args.rays))
    bound = polar_bound.polar_bound(
        args.ann_file, rays, exact=args.exact_rays, truncate=not args.round)
    print('| class | instances |', ' | '.join(map(str, rays)), '|')
    print('| --- | ---: |', ' | '.join('---:' for _ in rays), '|')
    main_center = polar_bound.CENTERS[0]
    by_class = {
        name: [bound.ious[main_center][n][name] for n in rays]
        for name in bound.instances
    }
    by_center = {
        center: [bound.mean(center, n) for n in rays]
        for center in polar_bound.CENTERS
    }
    total = sum(bound.instances.values())
    rows = [(name, bound.instances[name], by_class[name]) for name in by_class]
    rows += [(f'all, {name}', total, by_center[name]) for name in by_center]
    for name, count, values in rows:
        cells = ' | '.join(f'{100 * value:.1f}' for value in values)
        print(f'| {name} | {count} | {cells} |')
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(dataclasses.asdict(bound), file, indent=1)
    if args.plot:
        data = '/'.join(Path(args.ann_file).resolve().parts[-2:])
        title = f'What rays can express of {data}'
        figure = plot_bounds(rays, by_center, by_class, title)
        with atomic_write(args.plot, 'wb') as file:
            figure.savefig(file, dpi=150,
                           format=Path(args.plot).suffix[1:] or 'png')


if __name__ == '__main__':
    main()
