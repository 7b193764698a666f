"""Boxes of predictions without boxes."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize('name', ['solo', 'solov2'])
def test_boxes_are_those_of_the_masks(name):
    register_all_modules(init_default_scope=False)
    cfg = without_pretrained(
        Config.fromfile(ROOT / f'configs/{name}/{name}_quick_shapes.py'))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    # Untrained scores are low: keep all, to have masks at all.
    cfg.model.test_cfg.update(score_thr=0.0, filter_thr=0.0)
    model = MODELS.build(cfg.model).eval()
    batch = fake_batch([(64, 96)], (0, ), 6)
    data = model.data_preprocessor(batch, False)
    with torch.no_grad():
        sample, = model(**data, mode='predict')
    found = sample.pred_instances
    assert len(found) > 3 and found.masks.any()
    for mask, box in zip(found.masks, found.bboxes.tolist()):
        rows, columns = mask.nonzero(as_tuple=True)
        if not len(rows):
            assert box == [0, 0, 0, 0]
            continue
        assert box == [
            columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        ]
