"""Measure memory and time of masks on a large image, RLE included.

Every family of heads makes the masks of an image of 4000 x 6000 px from
made-up outputs of a network, and they are encoded, as any evaluation does.
Each case runs in a process of its own, whose largest resident size counts
above what it was before, with the network's outputs. Without a budget, cases
that would need more than --limit GiB are computed and not run.
"""
import argparse
import hashlib
import json
import multiprocessing
import resource
import time

import torch
from mask_families import FAMILIES
from mmengine.registry import init_default_scope

from mmseghead.functional.mask_rle import to_rles
from mmseghead.utils import atomic_write, register_all_modules
from mmseghead.utils.mask_budget import mask_budget


def peak_mib():
    """Return the largest resident size so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


@torch.no_grad()
def case(family, num, size, mib):
    """Run here; return MiB, seconds of the CPU, and a hash of the masks."""
    torch.set_num_threads(1)
    register_all_modules(init_default_scope=False)
    init_default_scope('mmdet')
    function, _ = FAMILIES[family]
    with mask_budget(mib):
        to_rles(function(2, (160, 240))())  # what only first calls need
        make_masks = function(num, size)
        before, start = peak_mib(), time.process_time()
        rles = to_rles(make_masks())
    seconds = time.process_time() - start
    text = b''.join(rle['counts'] for rle in rles)
    return peak_mib() - before, seconds, hashlib.sha256(text).hexdigest()[:12]


def measure(*arguments):
    """Run a case in a new process."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(case, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--size', type=int, nargs=2, default=(4000, 6000),
                        help='height and width of the image')
    parser.add_argument('--instances', type=int, nargs='+',
                        default=[100, 1000])
    parser.add_argument('--families', nargs='+', default=list(FAMILIES),
                        choices=list(FAMILIES))
    parser.add_argument('--budget', type=float, default=512, help='MiB')
    parser.add_argument('--limit', type=float, default=6,
                        help='GiB that a case without a budget may need')
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    size, figures = tuple(args.size), []
    print('| heads | instances | budget | MiB | s | sha256 |\n|---|-|-|-|-|-|')
    for family in args.families:
        for num in args.instances:
            needed = num * size[0] * size[1] * FAMILIES[family][1] / 2**20
            for mib in (None, args.budget):
                row = dict(family=family, instances=num, budget=mib)
                if mib is None and needed > args.limit * 2**10:
                    cells = f'{needed:.0f} (computed) | - | -'
                    row['computed'] = needed
                else:
                    found = measure(family, num, size, mib)
                    cells = f'{found[0]:.0f} | {found[1]:.1f} | {found[2]}'
                    row.update(zip(('mib', 'seconds', 'sha256'), found))
                figures.append(row)
                print(f'| {family} | {num} | {mib or "none"} | {cells} |',
                      flush=True)
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(figures, file, indent=1)


if __name__ == '__main__':
    main()
