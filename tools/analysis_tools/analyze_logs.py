"""Draw and sum up training logs: losses, AP, learning rate, time.

Reads the JSON logs that mmengine writes, of any package built on it. Of a
work dir the newest run counts, joined with those it was resumed from.
"""
import argparse
import sys
from pathlib import Path

from mmseghead.apis.tables import to_text
from mmseghead.apis.training_logs import (default_patterns, logs_to_csv,
                                          logs_to_json, match_keys, read_run,
                                          smooth, summary_table, timing)
from mmseghead.utils.files import atomic_write
from mmseghead.visualization.curves import Curve, plot_curves


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('runs', nargs='+', help='work dirs, folders of one '
                        'time stamp, or vis_data/scalars.json')
    parser.add_argument('--names', nargs='+', help='of the runs')
    parser.add_argument('--keys', nargs='+', metavar='KEY',
                        help="what to show, one panel each, such as loss "
                        "'loss_*' '*segm_mAP' lr; patterns in quotes")
    parser.add_argument('--smooth', type=int, default=1, metavar='N',
                        help='draw the mean of the last N training rows')
    parser.add_argument('--out', type=Path, metavar='PNG',
                        help='write the curves to this file')
    parser.add_argument('--json', type=Path, help='write the numbers here')
    parser.add_argument('--csv', type=Path, help='write the numbers here')
    args = parser.parse_args()
    if args.names and len(set(args.names)) != len(args.runs):
        parser.error(f'--names must be {len(args.runs)} different names')
    if args.smooth < 1:
        parser.error('--smooth must be >= 1')
    return args


def read_runs(args: argparse.Namespace) -> list:
    """Return the runs, each with a name of its own."""
    names = args.names or [None] * len(args.runs)
    runs = [read_run(path, name) for path, name in zip(args.runs, names)]
    taken = [run.name for run in runs]
    for run, path in zip(runs, args.runs):
        if taken.count(run.name) > 1:
            run.name = str(path)
    return runs


def panels_of(runs: list, patterns: list, window: int) -> dict:
    """Return pattern -> curves of all runs; each run must have the keys."""
    panels = {}
    for pattern in patterns or default_patterns(runs):
        found = [(run, key) for run in runs
                 for key in match_keys(run, pattern, bool(patterns))]
        panels[pattern] = [curve_of(run, key, window) for run, key in found]
    return panels


def curve_of(run, key: str, window: int) -> Curve:
    """Return one curve, smoothed if the window is more than a row."""
    steps, raw = run.series[key]
    # Schedules and measurements are not noisy: nothing to smooth.
    plain = window == 1 or '/' in key or key in ('lr', 'base_lr')
    values = raw if plain else smooth(raw, window)
    return Curve(run.name, key, steps, values, raw)


def show(run, keys: list) -> None:
    """Print what a run came to."""
    print(f'{run.name}: {", ".join(map(str, run.files))}')
    for note in run.notes:
        print(f'note: {note}')
    print(to_text(summary_table(run, keys)))
    times = timing(run)
    if times:
        print(f'{times.iterations} iterations, seconds each: mean '
              f'{times.mean:.3f}, median {times.median:.3f}, fastest '
              f'{times.fastest:.3f}, slowest {times.slowest:.3f} (means over '
              f'rows); {100 * times.loading:.1f} % waiting for data')


def main() -> None:
    args = parse_args()
    try:
        runs = read_runs(args)
        panels = panels_of(runs, args.keys, args.smooth)
    except KeyError as error:
        sys.exit(error.args[0])
    except (ValueError, FileNotFoundError) as error:
        sys.exit(str(error))
    for run in runs:
        keys = [curve.key for panel in panels.values() for curve in panel
                if curve.run == run.name]
        show(run, list(dict.fromkeys(keys)))
    if args.out:
        with atomic_write(args.out, 'wb') as file:
            plot_curves(panels).savefig(file, dpi=130, format='png')
    for path, text in ((args.json, logs_to_json), (args.csv, logs_to_csv)):
        if path:
            with atomic_write(path) as file:
                file.write(text(runs))
    for path in filter(None, (args.out, args.json, args.csv)):
        print(f'wrote {path}')


if __name__ == '__main__':
    main()
