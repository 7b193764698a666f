"""Time the pure-PyTorch operators and mmcv's compiled ones, in turns."""
import argparse
import contextlib
import json
import statistics
import time

import torch

from mmseghead.ops import install
from mmseghead.ops.selection import load_compiled
from mmseghead.utils import atomic_write

STRIDES = (4, 8, 16, 32)


def forward_and_both(function, *inputs):
    """Return a forward and a forward + backward call."""
    grad = torch.ones_like(function(*inputs))

    def both():
        for value in inputs:
            value.requires_grad_()
        function(*inputs).backward(grad)

    return torch.no_grad()(lambda: function(*inputs)), both


def roi_case(channels, count, size, bins, images=1):
    """Return calls of RoIAlign on the pyramid of a few images."""
    from mmdet.models.roi_heads.roi_extractors import SingleRoIExtractor
    layer = dict(type='RoIAlign', output_size=bins, sampling_ratio=0)
    extractor = SingleRoIExtractor(layer, channels, list(STRIDES))
    sizes = [[-(-side // stride) for side in size] for stride in STRIDES]
    maps = [torch.randn(images, channels, *level) for level in sizes]
    # Sides of 16 pixels up to the image's, evenly over the octaves.
    limit = torch.tensor(size[::-1])
    sides = 16 * (min(size) / 16)**torch.rand(count, 1)
    sides = torch.minimum(sides * 2**(torch.rand(count, 2) - .5), limit)
    start = torch.rand(count, 2) * (limit - sides)
    image = torch.arange(count)[:, None] % images
    rois = torch.cat([image, start, start + sides], 1)
    return forward_and_both(lambda *levels: extractor(levels, rois), *maps)


def nms_case(ops, count):
    """Return NMS and batched NMS of boxes crowded around 80 objects."""
    objects = torch.randint(0, 80, (count, ))
    centers = torch.rand(80, 2) * torch.tensor([1333, 800])
    sides = (torch.rand(80, 2) * 200 + 16)[objects]
    sides = sides * (1 + .2 * torch.randn(count, 2)).clamp(min=.2)
    centers = centers[objects] + sides * .15 * torch.randn(count, 2)
    boxes = torch.cat([centers - sides / 2, centers + sides / 2], 1)
    args, config = (boxes, torch.rand(count)), dict(iou_threshold=.7)
    return (lambda: ops.nms(*args, .7),
            lambda: ops.batched_nms(*args, objects % 20, config))


def all_cases(ops):
    """Return the measured functions by name."""
    target = torch.randint(0, 81, (20000, ))
    dcn = [(1, 64, 50, 84), (1, 18, 50, 84), (64, 64, 3, 3)]
    cases = {}
    for name, (forward, both) in {
            'RoIAlign 100 x 7 x 7, 256 ch, 800 x 1333':
            roi_case(256, 100, (800, 1333), 7),
            'RoIAlign 100 x 14 x 14, 256 ch, 800 x 1333':
            roi_case(256, 100, (800, 1333), 14),
            'RoIAlign 512 x 7 x 7, 64 ch, 4 of 256 x 256':
            roi_case(64, 512, (256, 256), 7, 4),
            'deform conv 3 x 3, 64 ch, 50 x 84':
            forward_and_both(lambda *x: ops.deform_conv2d(*x, 1, 1),
                             *map(torch.randn, dcn)),
            'sigmoid focal loss 20000 x 80':
            forward_and_both(lambda x: ops.sigmoid_focal_loss(x, target),
                             torch.randn(20000, 80))
    }.items():
        cases[name + ', fwd'], cases[name + ', fwd + bwd'] = forward, both
    for n in (1000, 5000):
        cases[f'NMS {n}'], cases[f'batched NMS {n}'] = nms_case(ops, n)
    return cases


def measure(function, repeats):
    """Return median milliseconds of both and their ratio, 0 if missing."""
    times = dict(torch=[], compiled=[])
    for _ in range(repeats):
        for choice, spent in times.items():
            install(choice)
            start = time.perf_counter()
            # Not each of mmcv's operators runs on the CPU.
            with contextlib.suppress(RuntimeError):
                function()
                spent.append(1e3 * (time.perf_counter() - start))
    new, old = (statistics.median(v or [0]) for v in times.values())
    return dict(torch=new, compiled=old, ratio=new / old if old else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--repeats', type=int, default=9)
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    load_compiled()
    install('torch')
    from mmcv import ops
    torch.manual_seed(0)
    print('| operator | stand-in (ms) | compiled (ms) | ratio |\n|---|-|-|-|')
    rows = {}
    for name, function in all_cases(ops).items():
        rows[name] = measure(function, args.repeats)
        cells = (f'{v:.2f}' if v else '-' for v in rows[name].values())
        print('|', ' | '.join([name, *cells]), '|', flush=True)
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(rows, file, indent=1)


if __name__ == '__main__':
    main()
