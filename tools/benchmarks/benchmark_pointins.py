"""What PointINS's mask branch costs, part by part, and what it replaces.

Printed are multiply-adds and milliseconds of the parts of the mask branch at
100 points of the pyramid of an 800 x 1333 image; of template and weights at
these points against everywhere; and of whole quick models against the quick
Mask R-CNN, measured in turns. Milliseconds are those one thread computes, the
least of some repeats: other work on the machine hardly counts.
"""
import argparse
import json
import time

import torch
from mmengine.config import Config
from pointins_parts import branch_parts

from mmseghead.apis.benchmark import load_samples
from mmseghead.apis.cost import FlopCounter, build_model, measure_cost
from mmseghead.apis.fixed_instances import fixed_instances
from mmseghead.utils import atomic_write

BASELINE = 'configs/mask_rcnn/mask-rcnn_quick_shapes.py'
MODELS = [
    f'configs/pointins/pointins-{name}_quick_shapes.py'
    for name in ('fcos', 'retinanet')
]


def least(function, repeats):
    """Return the least milliseconds of some calls."""
    spent = []
    for _ in range(repeats + 1):  # the first one warms up
        start = time.process_time()
        function()
        spent.append(1e3 * (time.process_time() - start))
    return min(spent[1:])


def counted(function):
    with FlopCounter() as counter:
        function()
    return sum(counter.flops.values()) / 1e9


def model_steps(images, instances):
    """Return a call of each model and its GFLOPs, the baseline first."""
    steps = {}
    for path in [BASELINE, *MODELS]:
        config = Config.fromfile(path)
        model, (samples, _) = build_model(config), load_samples(config, images)
        batches = [{k: [s[k]] for k in s} for s in samples]

        def step(model=model, batches=batches):
            with fixed_instances(model, 300, instances, (256, 256)):
                for batch in batches:
                    model.test_step(batch)

        cost = measure_cost(config, instances=instances).flops / 1e9
        steps[config.filename.split('/')[-1][:-3]] = step, cost
    return steps


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--points', type=int, default=100)
    parser.add_argument('--images', type=int, default=4)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = {}
    parts, dense = branch_parts(
        'configs/pointins/pointins-fcos_r50_fpn_1x_coco.py', args.points)
    dense = {f'{name}, everywhere': f for name, f in dense.items()}
    for name, function in {**parts, **dense}.items():
        rows[name] = counted(function), least(function, args.repeats)
    steps = model_steps(args.images, args.points)
    times = {name: [] for name in steps}
    for _ in range(args.repeats):
        for name, (step, _) in steps.items():
            times[name].append(least(step, 1) / args.images)
    for name, (_, cost) in steps.items():
        rows[name] = cost, min(times[name])
    print('| part or model | GFLOPs | ms |\n|---|-:|-:|')
    for name, (flops, spent) in rows.items():
        print(f'| {name} | {flops:.3f} | {spent:.1f} |')
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(rows, file, indent=1)


if __name__ == '__main__':
    main()
