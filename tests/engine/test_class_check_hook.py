"""The hook stops a run before its first iteration."""
import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel, MMDistributedDataParallel
from mmengine.runner import Runner
from torch import nn

from mmseghead.datasets import SHAPE_CLASSES, generate_shapes
from mmseghead.engine.hooks import ClassCheckHook
from mmseghead.engine.hooks.class_check_hook import wrong_class_counts
from mmseghead.registry import MODELS
from mmseghead.testing import find_nothing
from mmseghead.utils import register_all_modules

SWAPPED = ('box', 'disk') + SHAPE_CLASSES[2:]


class _Head(nn.Module):

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes = num_classes


class _Model(BaseModel):
    """Counts its steps; heads as in a cascade with proposals."""

    def __init__(self, bbox=6, mask=6, stages=(6, 6)):
        super().__init__()
        self.steps = 0
        self.weight = nn.Parameter(torch.zeros(1))
        self.backbone = _Head(1000)
        self.rpn_head = _Head(1)
        self.roi_head = nn.Module()
        self.roi_head.bbox_head = nn.ModuleList(_Head(n) for n in stages)
        self.roi_head.mask_head = _Head(mask)
        self.bbox_head = _Head(bbox)
        self.semantic_head = _Head(183)

    def forward(self, inputs, data_samples, mode='tensor'):
        self.steps += 1
        if mode == 'loss':
            return dict(loss=self.weight.sum())
        return [find_nothing(sample) for sample in data_samples]


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    generate_shapes(folder, 3, 2, image_size=48)
    return folder


@pytest.fixture
def config(data_root):
    register_all_modules()
    pipeline = [
        dict(type='mmdet.LoadImageFromFile'),
        dict(type='mmdet.PackDetInputs', meta_keys=('img_id', 'ori_shape'))
    ]

    def loader(split):
        return dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='pseudo_collate'),
            dataset=dict(
                type='ShapesDataset',
                data_root=str(data_root),
                ann_file=f'{split}.json',
                data_prefix=dict(img=f'{split}/'),
                test_mode=split == 'val',
                pipeline=pipeline))

    evaluator = dict(type='CocoMetric', ann_file=str(data_root / 'val.json'))
    return Config(
        dict(
            default_scope='mmseghead',
            train_dataloader=loader('train'),
            val_dataloader=loader('val'),
            test_dataloader=loader('val'),
            val_evaluator=evaluator,
            test_evaluator=copy.deepcopy(evaluator),
            train_cfg=dict(by_epoch=True, max_epochs=1),
            val_cfg=dict(),
            test_cfg=dict(),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
            custom_hooks=[dict(type='ClassCheckHook')]))


@pytest.fixture
def run(config, tmp_path):
    """Return a function that runs a mode and gives the model back."""

    def start(mode, model, **kwargs):
        runner = Runner(
            model,
            work_dir=str(tmp_path),
            cfg=config,
            experiment_name=f'{tmp_path.name}-{mode}',
            log_level='ERROR',
            **{
                key: value
                for key, value in config.items() if key.endswith(
                    ('dataloader', 'evaluator', '_cfg', 'optim_wrapper',
                     'hooks', 'default_scope'))
            },
            **kwargs)
        getattr(runner, mode)()
        return runner

    return start


@pytest.mark.parametrize('mode', ['train', 'val', 'test'])
def test_agreement_runs(run, mode):
    model = _Model()
    run(mode, model)
    assert model.steps == (3 + 2 if mode == 'train' else 2)


@pytest.mark.parametrize('mode', ['train', 'val', 'test'])
@pytest.mark.parametrize('kwargs, line', [
    (dict(bbox=80), 'model.bbox_head.num_classes = 80'),
    (dict(mask=7), 'model.roi_head.mask_head.num_classes = 7'),
    (dict(mask=[6, 5]), r'mask_head.num_classes = \[6, 5\]'),
    (dict(stages=(6, 5)), 'model.roi_head.bbox_head.1.num_classes = 5'),
])
def test_heads_of_other_counts(run, mode, kwargs, line):
    model = _Model(**kwargs)
    with pytest.raises(ValueError, match=line) as caught:
        run(mode, model)
    assert '`num_classes` must be 6 in every head' in str(caught.value)
    assert model.steps == 0


def test_all_wrong_heads_are_listed_at_once():
    wrong = wrong_class_counts(_Model(bbox=5, mask=7), 6, ['backbone'])
    assert wrong == {
        'rpn_head': 1,
        'roi_head.mask_head': 7,
        'bbox_head': 5,
        'semantic_head': 183
    }


def test_panoptic_parts_count_things():
    model = nn.Module()
    model.head = _Head(133)
    model.head.num_things_classes = 80
    assert wrong_class_counts(model, 80) == {}
    assert wrong_class_counts(model, 133) == {'head': 80}


def test_ignored_parts_are_an_option(run, config):
    config.custom_hooks[0].ignored = ['backbone', 'rpn_head']
    with pytest.raises(ValueError, match='semantic_head.num_classes = 183'):
        run('train', _Model())


def _swap_names(config, data_root, tmp_path):
    """Point validation to a file that lists two categories swapped."""
    text = (data_root / 'val.json').read_text()
    text = text.replace('"disk"', '"x"').replace('"box"', '"disk"').replace(
        '"x"', '"box"')
    path = tmp_path / 'swapped.json'
    path.write_text(text)
    for mode in ('val', 'test'):
        dataset = config[f'{mode}_dataloader'].dataset
        dataset.ann_file = str(path)
        dataset.metainfo = dict(classes=SWAPPED)
        config[f'{mode}_evaluator'].ann_file = str(path)


def test_validation_of_other_classes(run, config, data_root, tmp_path):
    _swap_names(config, data_root, tmp_path)
    model = _Model()
    with pytest.raises(ValueError, match='of the val set must equal') as e:
        run('train', model)
    assert 'only their order differs' in str(e.value)
    assert model.steps == 0


def test_test_set_of_other_classes_than_the_checkpoint(
        run, config, data_root, tmp_path):
    run('train', _Model())
    checkpoint = str(tmp_path / 'epoch_1.pth')
    assert torch.load(checkpoint, weights_only=False)['meta'][
        'dataset_meta']['classes'] == SHAPE_CLASSES
    run('test', _Model(), load_from=checkpoint)
    _swap_names(config, data_root, tmp_path)
    with pytest.raises(ValueError, match='of the test set must equal'):
        run('test', _Model(), load_from=checkpoint)


def test_weights_of_other_classes_may_start_a_training(
        run, config, data_root, tmp_path):
    run('train', _Model())
    _swap_names(config, data_root, tmp_path)
    config.train_dataloader.dataset = copy.deepcopy(
        config.val_dataloader.dataset)
    config.train_dataloader.dataset.test_mode = False
    model = _Model()
    run('train', model, load_from=str(tmp_path / 'epoch_1.pth'))
    assert model.steps > 0


@pytest.mark.parametrize('mode', ['train', 'val', 'test'])
def test_evaluator_of_another_file(run, config, data_root, mode):
    for key in ('val_evaluator', 'test_evaluator'):
        config[key].ann_file = str(data_root / 'train.json')
    model = _Model()
    with pytest.raises(ValueError, match='ann_file` of CocoMetric') as e:
        run(mode, model)
    assert str(data_root / 'val.json') in str(e.value)
    assert model.steps == 0


def test_file_of_upstreams_metric_is_known_from_the_config(
        run, config, data_root):
    config.val_evaluator = [
        dict(
            type='mmdet.CocoMetric',
            ann_file=str(data_root / 'train.json'),
            metric='bbox')
    ]
    with pytest.raises(ValueError, match='ann_file` of mmdet.CocoMetric'):
        run('val', _Model())


def test_federated_metric_reads_another_file(run, config, data_root):
    """AP* takes other annotations of the same images."""
    for key in ('val_evaluator', 'test_evaluator'):
        config[key].ann_file = str(data_root / 'train.json')
        config[key].federated = True
    run('test', _Model())


def test_wrapped_data_sets_are_opened(run, config, data_root):
    config.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=config.train_dataloader.dataset)
    model = _Model()
    run('train', model)
    assert model.steps == 6 + 2
    with pytest.raises(ValueError, match='number of classes of Shapes'):
        run('train', _Model(bbox=5))


def test_wrapped_models_are_opened(tmp_path):
    """Paths do not start with the wrapper's `module`."""
    torch.distributed.init_process_group(
        'gloo', init_method=f'file://{tmp_path}/store', rank=0, world_size=1)
    try:
        model = MMDistributedDataParallel(_Model(bbox=5))
        wrong = wrong_class_counts(model, 6, ClassCheckHook().ignored)
    finally:
        torch.distributed.destroy_process_group()
    assert wrong == {'bbox_head': 5}


@pytest.mark.parametrize('name', [
    'yolact/yolact_r50_1xb8-55e_coco',
    'point_rend/point-rend_r50-caffe_fpn_ms-1x_coco',
    'solov2/solov2_r50_fpn_1x_coco',
    'cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco',
    'htc/htc_r50_fpn_1x_coco',
])
def test_upstream_models_pass_and_fail(name, tmp_path):
    """No quirk of mmdet's heads raises a false alarm or hides a head."""
    register_all_modules()
    path = tmp_path / 'upstream.py'
    path.write_text(f"_base_ = 'mmdet::{name}.py'\n")
    config = Config.fromfile(path)
    config.model.backbone.init_cfg = None
    config.model.pop('init_cfg', None)
    config.model['_scope_'] = 'mmdet'
    model = MODELS.build(config.model)
    ignored = ClassCheckHook().ignored
    assert wrong_class_counts(model, 80, ignored) == {}
    assert len(wrong_class_counts(model, 79, ignored)) >= 1
