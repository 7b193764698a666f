"""Time FCOSIS's shortcuts against the plain way, and FCOSIS, MaskFCOS."""
import argparse
import json
import timeit

import torch
from measures import peak_mib
from mmengine.config import Config

from mmseghead.apis.cost import build_model
from mmseghead.apis.fixed_instances import fixed_instances
from mmseghead.functional.box_coloring import color_boxes
from mmseghead.models.dense_heads import FCOSISMaskHead
from mmseghead.models.dense_heads.fcosis_head import ImageCues
from mmseghead.models.layers.attention_map import LevelCues
from mmseghead.testing import fake_batch
from mmseghead.utils import atomic_write, register_all_modules

HEIGHT, WIDTH = 800, 1344
STRIDES = (8, 16, 32, 64, 128)


def grid_of_boxes(count):
    """Return boxes in two shifted grids: a few colours, mixed sizes."""
    columns = 10
    index = torch.arange(count)
    x = 30 + (index % columns) * 128. + 40 * (index // columns % 2)
    y = 20 + (index // columns) * 140.
    sides = 100 + 60 * torch.rand(count, 2)
    first = torch.stack((x, y), 1)
    return torch.cat((first, first + sides), 1)


def cues_of(boxes):
    maps = [
        LevelCues(s, torch.randn(-(-HEIGHT // s), -(-WIDTH // s)),
                  20 * torch.randn(2, -(-HEIGHT // s), -(-WIDTH // s)))
        for s in STRIDES
    ]
    return ImageCues(
        torch.randint(0, 3, (len(boxes), )),
        (boxes[:, :2] + boxes[:, 2:]) / 2, maps)


def seconds(function, repeats=1):
    """Return the shortest of a few runs."""
    return min(timeit.repeat(function, number=1, repeat=repeats))


@torch.no_grad()
def passes(channels, count):
    """Time one pass per colour against one pass per instance."""
    head = FCOSISMaskHead(1, channels, channels).eval()
    boxes = grid_of_boxes(count)
    cues = cues_of(boxes)
    x = [torch.randn(1, channels, HEIGHT // s, WIDTH // s) for s in (4, 8, 16)]
    sizes = [tuple(level.shape[-2:]) for level in x]

    def grouped():
        plan = head.plan_maps([cues], [boxes], sizes)
        for i in range(len(plan.images)):
            head.map_logits(x, plan, i, i + 1)

    def single():
        for j in range(count):
            one = cues._replace(
                levels=cues.levels[j:j + 1], centers=cues.centers[j:j + 1])
            plan = head.plan_maps([one], [boxes[j:j + 1]], sizes)
            head.map_logits(x, plan, 0, 1)

    return dict(
        colors=int(color_boxes(boxes).max()) + 1,
        plain_ms=1e3 * seconds(single),
        ours_ms=1e3 * seconds(grouped))


@torch.no_grad()
def inference(name, count):
    """Measure a quick model on one image with that many detections."""
    model = build_model(
        Config.fromfile(f'configs/{name}/{name}_quick_shapes.py')).eval()
    data = model.data_preprocessor(fake_batch([(256, 256)], [0], 6), False)
    with fixed_instances(model, count, count, (256, 256)):
        found, = model(**data, mode='predict')
        assert len(found.pred_instances) == count

        def predict():
            model(**data, mode='predict')

        return dict(ms=1e3 * seconds(predict, 5), peak_mib=peak_mib(predict))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--channels', type=int, default=64)
    parser.add_argument('--instances', type=int, default=50)
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    rows = dict(passes=passes(args.channels, args.instances))
    many = torch.rand(1000, 2) * 1000
    many = torch.cat((many, many + 150 * torch.rand(1000, 2)), 1)
    rows['coloring 1000 boxes'] = dict(
        ours_ms=1e3 * seconds(lambda: color_boxes(many), 9))
    row = rows['passes']
    row['ratio'] = row['plain_ms'] / row['ours_ms']
    for name in ('maskfcos', 'fcosis'):
        rows[name] = inference(name, 100)
    print(json.dumps(rows, indent=1))
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(rows, file, indent=1)


if __name__ == '__main__':
    main()
