"""Made-up images with instances, for tests and cost counters."""
from typing import List, Sequence, Tuple

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn


def fake_sample(img_shape: Tuple[int, int], num_instances: int,
                num_classes: int, generator: torch.Generator) -> dict:
    """Make one image with random boxes whose masks are ellipses in them.

    Args:
        img_shape: (h, w) of the image in pixels, at least 4 each.
        num_instances: Number of ground truth instances, 0 included.
        num_classes: Labels are drawn from 0 to ``num_classes - 1``.
        generator: Source of randomness.

    Returns:
        ``inputs``, a (3, h, w) uint8 tensor, and ``data_samples``, a
        ``DetDataSample``, as ``PackDetInputs`` makes them.
    """
    height, width = img_shape
    sides = torch.rand(num_instances, 2, generator=generator)
    size = torch.tensor([width, height], dtype=torch.float32)
    extent = (0.2 + 0.6 * sides) * size
    corner = torch.rand(num_instances, 2, generator=generator)
    corner = corner * (size - extent)
    bboxes = torch.cat([corner, corner + extent], 1)
    rows = np.arange(height)[:, None] + 0.5
    columns = np.arange(width)[None] + 0.5
    masks = np.zeros((num_instances, height, width), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, bboxes.tolist()):
        inside = ((2 * columns - x1 - x2) / (x2 - x1))**2 + (
            (2 * rows - y1 - y2) / (y2 - y1))**2 <= 1
        mask[inside] = 1
    sample = DetDataSample(
        metainfo=dict(
            img_id=0,
            img_path='made-up.png',
            img_shape=img_shape,
            ori_shape=img_shape,
            pad_shape=img_shape,
            batch_input_shape=img_shape,
            scale_factor=(1.0, 1.0)))
    sample.gt_instances = InstanceData(
        bboxes=bboxes,
        labels=torch.randint(
            num_classes, (num_instances, ), generator=generator),
        masks=BitmapMasks(masks, height, width))
    sample.ignored_instances = InstanceData(
        bboxes=bboxes.new_zeros(0, 4),
        labels=torch.zeros(0, dtype=torch.long),
        masks=BitmapMasks(masks[:0], height, width))
    image = torch.randint(
        256, (3, height, width), generator=generator, dtype=torch.uint8)
    return dict(inputs=image, data_samples=sample)


def fake_batch(img_shapes: Sequence[Tuple[int, int]],
               num_instances: Sequence[int],
               num_classes: int,
               seed: int = 0) -> dict:
    """Make a batch of images, each with its own size and instance count.

    Args:
        img_shapes: (h, w) for each image.
        num_instances: One count an image.
        num_classes: Labels are drawn from 0 to ``num_classes - 1``.
        seed: Seed of all draws.

    Returns:
        Lists ``inputs`` and ``data_samples``, as a collated batch has them.

    Raises:
        ValueError: if sizes and counts don't match.
    """
    if len(img_shapes) != len(num_instances):
        raise ValueError(
            'fake_batch needs a count for each image, got '
            f'{len(img_shapes)} images and {len(num_instances)} counts.')
    generator = torch.Generator().manual_seed(seed)
    made: List[dict] = [
        fake_sample(shape, number, num_classes, generator)
        for shape, number in zip(img_shapes, num_instances)
    ]
    return dict(
        inputs=[item['inputs'] for item in made],
        data_samples=[item['data_samples'] for item in made])


def find_nothing(sample: DetDataSample) -> DetDataSample:
    """Give an image no predicted instances."""
    sample.pred_instances = InstanceData(
        bboxes=torch.zeros(0, 4),
        scores=torch.zeros(0),
        labels=torch.zeros(0, dtype=torch.long),
        masks=torch.zeros((0, *sample.ori_shape), dtype=torch.bool))
    return sample


def make_eager(model: nn.Module) -> None:
    """Change a model's weights so that it finds something at random.

    Heads begin sure of finding nothing, in constant masks.
    """
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.requires_grad and not name.startswith('backbone'):
                if name.endswith('bias'):
                    p.zero_()
                p += 0.05 * torch.randn(p.shape, generator=generator)


def without_pretrained(cfg: Config) -> Config:
    """Return a copy of a config or part of it that loads no weights."""
    cfg = cfg.copy() if isinstance(cfg, Config) else Config(dict(cfg))
    _drop_pretrained(cfg._cfg_dict)
    return cfg


def _drop_pretrained(node) -> None:
    if isinstance(node, dict):
        init_cfg = node.get('init_cfg')
        if isinstance(init_cfg,
                      dict) and init_cfg.get('type') == 'Pretrained':
            node['init_cfg'] = None
        for value in node.values():
            _drop_pretrained(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            _drop_pretrained(value)
