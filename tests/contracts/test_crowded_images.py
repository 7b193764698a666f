"""Every method learns from an image with 2000 instances."""
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmseghead.apis.cost import build_model
from mmseghead.apis.train import load_config
from mmseghead.testing import fake_batch, without_pretrained

CONFIGS = sorted(
    Path(__file__).parents[2].glob('configs/*/*_quick_nuclei.py'))
NUMBER = 2000
SHAPE = (128, 160)  # h, w


@pytest.fixture(scope='module')
def crowd():
    batch = fake_batch([SHAPE], [1], 1)
    random = np.random.RandomState(0)
    corners = random.randint(0, (SHAPE[1] - 9, SHAPE[0] - 9), (NUMBER, 2))
    sizes = random.randint(3, 9, (NUMBER, 2))
    boxes = np.concatenate([corners, corners + sizes], 1)
    masks = np.zeros((NUMBER, *SHAPE), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[y1:y2, x1:x2] = 1
    batch['data_samples'][0].gt_instances = InstanceData(
        bboxes=torch.from_numpy(boxes).float(),
        labels=torch.zeros(NUMBER, dtype=torch.long),
        masks=BitmapMasks(masks, *SHAPE))
    return batch


@pytest.mark.slow
@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_loss_of_a_crowd(path, crowd):
    torch.manual_seed(0)
    model = build_model(without_pretrained(load_config(str(path)))).train()
    batch = dict(
        inputs=crowd['inputs'],
        data_samples=[sample.clone() for sample in crowd['data_samples']])
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    total, _ = model.parse_losses(losses)
    total.backward()
    assert torch.isfinite(total)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(grad).all() for grad in grads)
