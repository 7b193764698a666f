"""Time index convolutions against a plain gather and product per dilation.

The baseline gathers all 9 taps of a dilation and multiplies, with PyTorch's
own backward pass. Memory is the most that a call allocates at once.
"""
import argparse
import json
import time
from functools import partial

import torch
import torch.nn.functional as F
from measures import peak_mib

from mmseghead.functional import sparse_grid as sps
from mmseghead.models.layers import DenseSFM, SparseSFM
from mmseghead.utils import atomic_write


class PlainSFM(SparseSFM):
    """The same module with the baseline in place of the convolution."""

    def forward(self, grid):
        grid = sps.with_features(grid, F.relu(self.reduce(grid.active)))
        return sps.with_features(grid, self.fuse(plain_conv(self.conv, grid)))


def plain_conv(conv, grid):
    """Return what the convolution returns."""
    table = F.pad(torch.cat([grid.active, grid.passive]), (0, 0, 0, 1))
    total = 0
    for dilation, weight, bias in zip(conv.dilations, conv.weight, conv.bias):
        taps = [((i // 3 - 1) * dilation, (i % 3 - 1) * dilation)
                for i in range(9)]
        rows = table[sps.neighbor_ids(grid, taps)].flatten(1)
        kernel = weight.permute(0, 2, 3, 1).flatten(1)
        total = total + F.relu(F.linear(rows, kernel, bias))
    return total


def make_grid(stage, device, rois=100, budget=10000):
    """Return the state of a stage, refined around circles."""
    grid = sps.dense_grid(torch.zeros(rois, 1, 14, 14, device=device))
    centers = 4 + 6 * torch.rand(rois, 2, device=device)
    radii = 2 + 3 * torch.rand(rois, device=device)
    boxes = centers.new_tensor([0, 0, 14, 14]).expand(rois, 4)
    for _ in range(stage):
        offsets = sps.cell_centers(grid, boxes) - centers[grid.roi_inds]
        distance = (offsets.norm(dim=1) - radii[grid.roi_inds]).abs()
        kept = sps.select_rows(-distance, budget)
        grid = sps.upsample_grid(sps.keep_rows(grid, kept))
    rows = torch.randn(
        grid.num_active + grid.num_passive, 256 // 2**stage, device=device)
    return sps.with_features(grid, *rows.tensor_split([grid.num_active]))


def call(function, grid, backward):
    """Run a function on a grid, and back if wanted."""
    rows = [x.clone().requires_grad_() for x in (grid.active, grid.passive)]
    with torch.set_grad_enabled(backward):
        out = function(sps.with_features(grid, *rows))
        if backward:
            getattr(out, 'active', out).sum().backward()
    if grid.active.is_cuda:
        torch.cuda.synchronize()


def milliseconds(*args):
    """Return how long a call takes."""
    start = time.perf_counter()
    call(*args)
    return 1e3 * (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument('--backend', default='torch')
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    torch.manual_seed(0)
    figures = {}
    print('| case | plain (ms) | ours (ms) | ratio | plain (MiB) | ours (MiB)'
          ' | ratio |\n|---|-|-|-|-|-|-|')
    for stage in (1, 2, 3):
        grid = make_grid(stage, args.device)
        plain, ours, dense = (
            kind(grid.active.shape[1], backend=args.backend).to(args.device)
            for kind in (PlainSFM, SparseSFM, DenseSFM))
        baseline = partial(plain_conv, plain.conv)
        cases = [('index conv', baseline, ours.conv), ('SFM', plain, ours),
                 ('SFM, dense as plain', dense, ours)]
        for name, *pair in cases:
            for backward in (False, True):
                times = [[milliseconds(f, grid, backward) for f in pair]
                         for _ in range(args.repeats)]
                a, b = map(min, zip(*times))
                c, d = (peak_mib(partial(call, f, grid, backward)) for f in pair)
                key = (f'{name}, stage {stage}, {grid.num_active} rows, fwd'
                       + ' + bwd' * backward)
                figures[key] = a, b, a / b, c, d, c / d
                cells = (f'{value:.2f}' for value in figures[key])
                print('|', ' | '.join([key, *cells]), '|', flush=True)
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(figures, file, indent=1)


if __name__ == '__main__':
    main()
