import pytest
from mmengine.config import Config

from mmseghead.utils.option_keys import check_option_keys

CFG = Config(
    dict(
        train_cfg=dict(max_iters=3, val_interval=2),
        hooks=[dict(type='A', size=1)],
        work_dir='here',
        model=dict(backbone=dict(depth=50))))


@pytest.mark.parametrize('key', [
    'train_cfg.max_iters', 'randomness.seed', 'hooks.0.size',
    'model.backbone.with_cp', 'work_dir', 'model.neck.type'
])
def test_sensible_keys_pass(key):
    check_option_keys(CFG, {key: 1})


@pytest.mark.parametrize('key, hint', [
    ('train_cfg.max_iter', 'Did you mean max_iters'),
    ('train_confg.max_iters', 'Did you mean train_cfg'),
    ('model.backbones.depth', 'Did you mean backbone'),
    ('modle.backbone.depth', 'Did you mean model'),
    ('hooks.1.size', 'list of 1'),
    ('hooks.first.size', 'list of 1'),
    ('zzz', "no key 'zzz'"),
])
def test_typos_stop(key, hint):
    with pytest.raises(KeyError, match=hint):
        check_option_keys(CFG, {key: 1})
