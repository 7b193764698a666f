"""Keys that nothing reads are found, all others pass."""
import copy

import pytest
from mmengine.config import Config

from mmseghead.registry import MODELS
from mmseghead.utils import register_all_modules
from mmseghead.utils.config_lint import find_unread_keys
from mmseghead.utils.signatures import accepted_arguments

CONFIG = 'configs/{}.py'


@pytest.fixture(scope='module', autouse=True)
def _registered():
    register_all_modules(init_default_scope=False)


@pytest.fixture(scope='module')
def quick(repository):
    return Config.fromfile(
        repository / 'configs/mask_rcnn/mask-rcnn_quick_shapes.py')


@pytest.fixture(scope='module')
def coco(repository):
    return Config.fromfile(
        repository / 'configs/solov2/solov2_r101-dcn_fpn_ms-3x_coco.py')


def _with(cfg, **options):
    changed = copy.deepcopy(cfg)
    changed.merge_from_dict({
        key.replace('__', '.'): value
        for key, value in options.items()
    })
    return changed


def test_configs_in_both_scopes_are_clean(quick, coco):
    assert find_unread_keys(quick) == []
    assert find_unread_keys(coco) == []


@pytest.mark.parametrize('key, value, parts', [
    ('trian_dataloader', dict(batch_size=3),
     ['`trian_dataloader`', 'train_dataloader']),
    ('train_dataloader__batchsize', 3,
     ['`train_dataloader.batchsize`', 'batch_size']),
    ('train_dataloader__dataset__piplines', [],
     ['`train_dataloader.dataset.piplines`', 'ShapesDataset', 'pipeline']),
    ('train_dataloader__dataset__filter_cfg__filter_empty', True,
     ['filter_cfg.filter_empty`', 'filter_empty_gt']),
    ('model__backbone__out_indicies', (1, ),
     ['`model.backbone.out_indicies`', 'EfficientNetLite', 'out_indices']),
    ('model__roi_head__mask_head__conv_out_chanels', 7,
     ['`model.roi_head.mask_head.conv_out_chanels`', 'conv_out_channels']),
    ('model__test_cfg__rcnn__max_per_image', 7,
     ['`model.test_cfg.rcnn.max_per_image`', 'max_per_img']),
    ('optim_wrapper__optimizer__weigth_decay', .1,
     ['`optim_wrapper.optimizer.weigth_decay`', 'AdamW', 'weight_decay']),
    ('optim_wrapper__clip_gard', None,
     ['`optim_wrapper.clip_gard`', 'clip_grad']),
    ('train_cfg__max_iter', 3, ['`train_cfg.max_iter`', 'max_iters']),
    ('default_hooks__checkpoints', dict(type='CheckpointHook'),
     ['`default_hooks.checkpoints`', 'checkpoint']),
    ('default_hooks__checkpoint__intervall', 3,
     ['`default_hooks.checkpoint.intervall`', 'interval']),
    ('val_evaluator__metrik', 'bbox', ['`val_evaluator.metrik`', 'metric']),
    ('randomness__sed', 3, ['`randomness.sed`', 'seed']),
])  # yapf: disable
def test_typo_is_named_with_what_was_meant(quick, key, value, parts):
    found = find_unread_keys(_with(quick, **{key: value}))
    assert len(found) == 1
    for part in parts:
        assert part in found[0]


def test_misplaced_key_is_told_its_place(quick):
    found = find_unread_keys(_with(quick, model__backbone__start_factor=2))
    assert len(found) == 1
    assert '`param_scheduler.0` (LinearLR) has' in found[0]


def test_strange_key_lists_what_is_allowed(quick):
    found = find_unread_keys(_with(quick, model__neck__zzz=2))
    assert len(found) == 1
    assert "FPN has no 'zzz'" in found[0] and 'out_channels' in found[0]


def test_free_variables_pass(quick):
    assert find_unread_keys(_with(quick, my_width=7, learning_rate=.3)) == []


def test_unknown_type_is_named(quick):
    found = find_unread_keys(_with(quick, model__neck__type='mmdet.FPNN'))
    assert len(found) == 1
    assert '`model.neck.type`' in found[0] and "'mmdet.FPNN'" in found[0]


def test_scope_decides_what_a_bare_name_is(quick):
    # mmdet's FPN is no name of ours.
    found = find_unread_keys(_with(quick, model__neck__type='FPN'))
    assert len(found) == 1 and "'mmseghead'" in found[0]


def test_arguments_follow_the_bases():

    class Base:

        def __init__(self, one, *, two=2):
            self.sum = one + two

    class Middle(Base):

        def __init__(self, *args, three=3, **kwargs):
            super().__init__(*args, **kwargs)
            self.three = three

    class Child(Middle):
        pass

    class Reader:

        def __init__(self, one, **kwargs):
            self.rest = one, kwargs

    assert accepted_arguments(Child) == ({'one', 'two', 'three'}, False)
    assert accepted_arguments(Base) == ({'one', 'two'}, False)
    assert accepted_arguments(Reader) == ({'one'}, True)
    assert accepted_arguments(lambda four, **rest: rest) == ({'four'}, True)


def test_arguments_of_a_module_end_at_pytorch():
    known = accepted_arguments(MODELS.get('EffSegMaskHead'))
    assert 'num_refine' in known.names and not known.open
