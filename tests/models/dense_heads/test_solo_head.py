"""SOLO heads find what mmdet's find, and the boxes of it."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules
from mmseghead.utils.mask_budget import mask_budget

ROOT = Path(__file__).resolve().parents[3]


def build(name, **mask_head):
    register_all_modules(init_default_scope=False)
    cfg = without_pretrained(
        Config.fromfile(ROOT / f'configs/{name}/{name}_quick_shapes.py'))
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    # Untrained scores are low: keep all, to have masks at all.
    cfg.model.test_cfg.update(score_thr=0.0, filter_thr=0.0)
    cfg.model.mask_head.update(mask_head)
    return MODELS.build(cfg.model).eval()


@torch.no_grad()
def predict(model, ori_shape=(64, 96)):
    batch = fake_batch([(64, 96)], (0, ), 6)
    batch['data_samples'][0].set_metainfo(dict(ori_shape=ori_shape))
    data = model.data_preprocessor(batch, False)
    sample, = model(**data, mode='predict')
    return sample.pred_instances


@pytest.mark.parametrize('mib', [0, 512, None])
@pytest.mark.parametrize('name, base', [('solo', 'SOLOHead'),
                                        ('solov2', 'SOLOV2Head')])
@pytest.mark.parametrize('thresholds', [{}, dict(score_thr=0.52),
                                        dict(filter_thr=0.27, nms_pre=60),
                                        dict(score_thr=1.1)])
def test_equals_mmdet(name, base, mib, thresholds):
    ours, theirs = build(name), build(name, type=f'mmdet.{base}')
    theirs.load_state_dict(ours.state_dict())
    for model in (ours, theirs):
        model.mask_head.test_cfg.update(thresholds)
    with mask_budget(mib):
        found = predict(ours, (50, 131))
    wanted = predict(theirs, (50, 131))
    assert len(found) == len(wanted)
    assert (len(wanted) == 0) == ('score_thr' in thresholds
                                  and thresholds['score_thr'] > 1)
    assert torch.equal(found.scores, wanted.scores)
    assert torch.equal(found.labels, wanted.labels.long())
    masks = torch.as_tensor(found.masks.numpy())
    assert torch.equal(masks, wanted.masks.bool())


@pytest.mark.parametrize('name', ['solo', 'solov2'])
def test_boxes_are_those_of_the_masks(name):
    found = predict(build(name))
    assert len(found) > 3 and found.masks.any()
    for mask, box in zip(found.masks, found.bboxes.tolist()):
        rows, columns = mask.nonzero(as_tuple=True)
        if not len(rows):
            assert box == [0, 0, 0, 0]
            continue
        assert box == [
            columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        ]
