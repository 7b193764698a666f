"""Every config of the zoo: its name, its data, and that it builds."""
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import (DATASETS, HOOKS, METRICS, MODELS,
                               OPTIM_WRAPPERS, TRANSFORMS, init_default_scope)

from mmseghead.apis import load_config
from mmseghead.testing import without_pretrained

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted(
    path for path in ROOT.glob('configs/*/*.py')
    if not path.parent.name.startswith('_'))
BASES = sorted(ROOT.glob('configs/_base_/datasets/*.py'))
# {method}[-{variant}]_{backbone}[_{neck}]_{schedule}_{dataset}, or quick.
NAME = re.compile(r'^[a-z0-9]+(-[a-z0-9]+)*(_[a-z0-9]+(-[a-z0-9]+)*)+$')
DATASETS_IN_NAMES = ('coco', 'lvis', 'cityscapes', 'shapes', 'nuclei')
each_config = pytest.mark.parametrize(
    'path', CONFIGS, ids=[path.stem for path in CONFIGS])


def load(path):
    cfg = load_config(str(path))
    init_default_scope(cfg.default_scope)
    return cfg


def is_registered(registry, cfg):
    """Whether a component's name resolves where the config stands."""
    with registry.switch_scope_and_registry(cfg.get('_scope_')) as scoped:
        return scoped.get(cfg.type) is not None


def as_list(value):
    """Several evaluators are a list of configs, one is a config."""
    return value if isinstance(value, list) else [value]


def test_names_are_unique_and_well_formed():
    stems = [path.stem for path in CONFIGS]
    assert len(stems) == len(set(stems))
    for path in CONFIGS:
        assert NAME.match(path.stem), path.stem
        assert path.stem.endswith(DATASETS_IN_NAMES), path.stem
        method = path.stem.split('_')[0].replace('-', '_')
        assert method.startswith(path.parent.name), path


@each_config
def test_builds(path):
    cfg = load(path)
    model = MODELS.build(without_pretrained(cfg).model)
    assert sum(p.numel() for p in model.parameters()) > 0
    datasets = [cfg.train_dataloader.dataset, cfg.test_dataloader.dataset]
    for dataset in datasets:
        assert is_registered(DATASETS, dataset)
        while 'dataset' in dataset:  # RepeatDataset and its like
            dataset = dataset.dataset
        for step in dataset.pipeline:
            TRANSFORMS.build(step)
    for evaluator in as_list(cfg.val_evaluator):
        assert is_registered(METRICS, evaluator)
    assert is_registered(OPTIM_WRAPPERS, cfg.optim_wrapper)
    for hook in [*cfg.custom_hooks, *cfg.default_hooks.values()]:
        assert is_registered(HOOKS, hook)


@each_config
def test_dumped_and_reloaded_is_equal(path, tmp_path):
    cfg = Config.fromfile(path)
    copy = tmp_path / path.name
    cfg.dump(copy)
    assert Config.fromfile(copy).to_dict() == cfg.to_dict()


@each_config
def test_runs_are_checked_and_recorded(path):
    hooks = {hook.type.split('.')[-1] for hook in load(path).custom_hooks}
    assert {'ClassCheckHook', 'RunRecordHook'} <= hooks


@each_config
def test_evaluators_read_the_loaders_annotations(path):
    cfg = load(path)
    for part in ('val', 'test'):
        dataset = cfg[f'{part}_dataloader'].dataset
        ann_file = dataset.data_root + dataset.ann_file
        files = {
            evaluator.ann_file
            for evaluator in as_list(cfg[f'{part}_evaluator'])
            if 'ann_file' in evaluator
        }
        assert files == {ann_file}


@each_config
def test_no_path_of_a_machine(path):
    text = Config.fromfile(path).pretty_text
    assert not re.search(r"'/(home|root|work|tmp|Users)/", text)


@pytest.mark.parametrize(
    'path', [p for p in CONFIGS if '_quick_' in p.stem],
    ids=[p.stem for p in CONFIGS if '_quick_' in p.stem])
def test_quick_recipe_is_shared(path):
    """Every method sees the same images under the same schedule."""
    cfg = load(path)
    base = Config.fromfile(ROOT / 'configs/_base_/schedules/schedule_quick.py')
    assert cfg.train_cfg == base.train_cfg
    assert cfg.train_dataloader.batch_size == base.base_batch_size
    assert cfg.optim_wrapper == base.optim_wrapper
    assert cfg.param_scheduler == base.param_scheduler
    assert cfg.model.backbone.type == 'EfficientNetLite'
    counts = {
        int(number)
        for number in re.findall(r'num_classes=(\d+)',
                                 Config(dict(model=cfg.model)).pretty_text)
    }
    assert counts == {len(cfg.classes)}


@pytest.mark.parametrize('path', BASES, ids=[path.stem for path in BASES])
def test_data_bases_state_classes_once(path):
    text = path.read_text()
    cfg = Config.fromfile(path)
    if 'classes' in cfg:
        for loader in ('train_dataloader', 'val_dataloader'):
            given = cfg[loader].dataset
            while 'dataset' in given:
                given = given.dataset
            assert tuple(given.metainfo.classes) == tuple(cfg.classes)
        assert text.count(repr(cfg.classes[0])) == 1


def test_base_by_package_name(tmp_path):
    """What a user's config outside of the repository writes."""
    if not (ROOT / 'mmseghead/.mim/configs').exists():
        pytest.skip('the package is not installed, so .mim is not filled')
    path = tmp_path / 'mine.py'
    path.write_text("_base_ = 'mmseghead::mask_rcnn/"
                    "mask-rcnn_quick_nuclei.py'\nclasses = ('cell', )\n")
    cfg = load_config(str(path))
    assert cfg.train_dataloader.dataset.metainfo.classes == ('cell', )
    init_default_scope(cfg.default_scope)
    model = MODELS.build(without_pretrained(cfg).model)
    assert isinstance(model, torch.nn.Module)
