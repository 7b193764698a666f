"""`--tta` works for configs that say nothing about it."""
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseghead import apis
from mmseghead.apis.tta import tta_pipeline

ROOT = Path(__file__).resolve().parents[2]
LOAD = dict(type='mmdet.LoadImageFromFile')
RESIZE = dict(type='mmdet.Resize', scale=(320, 256), keep_ratio=True)
TRUTH = dict(type='mmdet.LoadAnnotations', with_bbox=True)
PAD = dict(type='mmdet.Pad', size_divisor=32)
PACK = dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'ori_shape'))


def test_views_by_hand():
    steps = tta_pipeline([LOAD, RESIZE, TRUTH, PAD, PACK], (None, 'vertical'),
                         (0.5, 1.0))
    assert steps[0] == LOAD and steps[1]['type'] == 'TestTimeAug'
    assert steps[1]['transforms'] == [
        [dict(RESIZE, scale=(160, 128)), RESIZE],
        [
            dict(type='mmdet.RandomFlip', prob=0.),
            dict(type='mmdet.RandomFlip', prob=1., direction='vertical')
        ],
        [PAD],
        [TRUTH],  # behind all that would move it
        [dict(PACK, meta_keys=('img_id', 'ori_shape', 'flip',
                               'flip_direction'))]
    ]


def test_pipelines_without_resize_have_one_scale():
    steps = tta_pipeline([LOAD, PACK], ('horizontal', ))
    assert len(steps[1]['transforms']) == 2
    with pytest.raises(ValueError, match='Resize'):
        tta_pipeline([LOAD, PACK], scales=(1., 2.))


@pytest.mark.parametrize('pipeline, options, match', [
    ([LOAD, RESIZE, PACK], dict(flips=('left', )), '`flips`'),
    ([LOAD, RESIZE, PACK], dict(flips=()), '`flips`'),
    ([LOAD, RESIZE, PACK], dict(scales=(0, )), '`scales`'),
    ([LOAD, RESIZE], {}, 'PackDetInputs'),
    ([LOAD, dict(type='mmdet.CropResize', size=3), PACK],
     dict(scales=(2, )), 'cannot scale')])
def test_errors(pipeline, options, match):
    with pytest.raises(ValueError, match=match):
        tta_pipeline(pipeline, **options)


def test_a_configs_own_words_count(tiny_config):
    cfg = apis.load_config(str(tiny_config))
    cfg.tta = dict(flips=('diagonal', ), scales=(2., ))
    apis.enable_tta(cfg)
    assert cfg.model.type == 'mmseghead.MaskTTAModel'
    assert cfg.model.module.type == 'mmdet.MaskRCNN'
    resize, flip = cfg.tta_pipeline[-1]['transforms'][:2]
    assert resize[0]['scale'] == (512, 512)
    assert flip[0]['direction'] == 'diagonal'

    cfg = apis.load_config(str(tiny_config))
    cfg.tta_model = dict(type='Mine', some=3)
    cfg.tta_pipeline = [dict(type='Own')]
    apis.enable_tta(cfg)
    assert cfg.model.type == 'Mine' and cfg.model.some == 3
    assert cfg.test_dataloader.dataset.pipeline == [dict(type='Own')]

    cfg = apis.load_config(
        str(tiny_config),
        cfg_options=apis.parse_options(
            ['tta.scales=(1.0,2.0)', 'mask_budget_mib=None']))
    assert cfg.mask_budget_mib is None
    apis.enable_tta(cfg)
    resizes, flips = cfg.tta_pipeline[-1]['transforms'][:2]
    assert [r['scale'][0] for r in resizes] == [256, 512] and len(flips) == 2

    cfg = apis.load_config(str(tiny_config))
    cfg.tta = dict(flip=('diagonal', ))
    with pytest.raises(KeyError, match='flips'):
        apis.enable_tta(cfg)


# One of each method and kind of data: variants share their pipelines.
KINDS = {(path.parent.name, path.stem.rsplit('_', 1)[-1]): path
         for path in sorted(ROOT.glob('configs/[a-z]*/*.py'))}


@pytest.mark.parametrize('path', KINDS.values(), ids=lambda p: p.stem)
def test_every_config_has_views(path):
    pipeline = Config.fromfile(path).test_dataloader.dataset.pipeline
    steps = tta_pipeline(pipeline)
    names = [step['type'].split('.')[-1] for step in pipeline]
    last, = [s for s in steps if s['type'] == 'TestTimeAug']
    inner = [v[0]['type'].split('.')[-1] for v in last['transforms']]
    kept = [s['type'].split('.')[-1] for s in steps[:-1]] + inner
    assert sorted(kept) == sorted([*names, 'RandomFlip'])
    if 'LoadAnnotations' in kept:
        assert kept.index('RandomFlip') < kept.index('LoadAnnotations')


def test_test_with_tta(tiny_config, tmp_path):
    """From config to numbers, with weights of the model without views."""
    import torch
    from mmengine.registry import MODELS, init_default_scope
    cfg = apis.load_config(str(tiny_config), work_dir=str(tmp_path))
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    weights = tmp_path / 'weights.pth'
    torch.save(dict(state_dict=model.state_dict(), meta={}), weights)
    apis.set_outputs(cfg, out=str(tmp_path / 'out.pkl'))
    apis.enable_tta(cfg)
    numbers = apis.test(cfg, str(weights))
    assert 0 <= numbers['coco/segm_mAP'] <= 1
    assert (tmp_path / 'out.pkl').is_file()
