"""Time EffSeg's mask head against RefineMask's on the same boxes.

From the feature pyramid of an 800 x 1344 px image (P2 of 200 x 336, 256
channels) and boxes to logits of 112 x 112, pooling included. The baseline is
the head of the published RefineMask; ratios are to it, from the same run.
Sparse stages see round objects; untrained masks would be edges everywhere.
"""
import argparse
import json
from functools import partial

import torch
from blob_masks import BlobPredictor
from measures import in_turns
from mmengine.structures import InstanceData

from mmseghead.apis.cost import FlopCounter, count_parameters
from mmseghead.apis.fixed_instances import resized
from mmseghead.registry import MODELS
from mmseghead.utils import atomic_write, register_all_modules

STRIDES = (4, 8, 16, 32)
IMAGE = (800, 1344)  # h, w, pixels
CHANNELS = 256
EXTRACTOR = dict(
    type='mmdet.SingleRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
    out_channels=CHANNELS,
    featmap_strides=list(STRIDES))
SIMPLE = dict(type='mmseghead.SimpleRefineMaskHead', agnostic_stages=(3, ))
HEADS = {
    'RefineMask': dict(type='mmseghead.RefineMaskHead'),
    'RefineMask, sparse': dict(
        type='mmseghead.RefineMaskHead', sparse_last_stage=True),
    'RefineMask, simple': SIMPLE,
    'RefineMask, simple, sparse': dict(SIMPLE, sparse_last_stage=True),
    'EffSeg': dict(type='mmseghead.EffSegMaskHead'),
    'EffSeg, all cells': dict(
        type='mmseghead.EffSegMaskHead', process='dense_sfm',
        num_refine=None),
}
BASELINE = 'RefineMask'


def as_function(name, device):
    """Return the head and a function from pyramid and boxes to logits."""
    head = MODELS.build(HEADS[name]).to(device).eval()
    if name.startswith('EffSeg'):
        return head, lambda x, rois: head.mask_logits(head(x, rois))[-1]
    extractor = MODELS.build(EXTRACTOR)
    for stage in head.stages if head.sparse_last_stage else ():
        stage.predictor = BlobPredictor(stage.predictor)

    def refine_mask(x, rois):
        labels = torch.arange(len(rois), device=rois.device) % 80
        maps = head.semantic_maps(x[0])
        return head.predict_logits(extractor(x, rois), maps, rois, labels)

    return head, refine_mask


def inputs(num_rois, device):
    """Return a pyramid of noise and boxes of growing size."""
    x = [
        torch.randn(1, CHANNELS, IMAGE[0] // s, IMAGE[1] // s, device=device)
        for s in STRIDES
    ]
    empty = InstanceData(bboxes=torch.zeros(0, 4, device=device))
    boxes = resized(empty, num_rois, IMAGE).bboxes
    return x, torch.cat([boxes.new_zeros(num_rois, 1), boxes], 1)


def giga_macs(function, x, rois):
    """Return multiply-adds in 1e9."""
    counter = FlopCounter()
    with counter.around_mmcv_ops(), counter:
        function([level.cpu() for level in x], rois.cpu())
    return sum(counter.flops.values()) / 1e9


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rois', type=int, default=100)
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--heads', nargs='+', default=list(HEADS)[:-1],
                        choices=list(HEADS))
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    parser.add_argument('--threads', type=int, help='threads of PyTorch')
    parser.add_argument('--out', help='JSON file to write the figures to')
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    register_all_modules(init_default_scope=False)
    torch.manual_seed(0)
    x, rois = inputs(args.rois, args.device)
    names = list(dict.fromkeys([BASELINE, *args.heads]))
    heads = {name: as_function(name, args.device) for name in names}
    times, _ = in_turns(
        args.repeats, torch.device(args.device), **{
            name: partial(function, x, rois)
            for name, (_, function) in heads.items()
        })
    print('| head | M parameters | GMAC | ms | times as fast |\n|---|-|-|-|-|')
    figures = {}
    for name in names:
        head, _ = heads[name]
        function = as_function(name, 'cpu')[1]
        figures[name] = (count_parameters(head) / 1e6,
                         giga_macs(function, x, rois), times[name],
                         times[BASELINE] / times[name])
        cells = (f'{value:.2f}' for value in figures[name])
        print('|', ' | '.join([name, *cells]), '|', flush=True)
    if args.out:
        with atomic_write(args.out) as file:
            json.dump(figures, file, indent=1)


if __name__ == '__main__':
    main()
