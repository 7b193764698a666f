"""Fixtures that several rooms share."""
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from mmengine.registry import DefaultScope

from mmseghead.datasets import generate_shapes

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True, scope='session')
def _one_thread():
    """Tests run side by side: more threads only get in each other's way."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_default_scope(monkeypatch):
    """No test sees the registry scope that another one has set."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())


@pytest.fixture(scope='session')
def repository() -> Path:
    """The folder that holds setup.cfg."""
    return REPOSITORY


@pytest.fixture(scope='session')
def tiny_shapes(tmp_path_factory) -> Path:
    """A shapes data set of 10 and 3 pictures of 64 px."""
    folder = tmp_path_factory.mktemp('shapes')
    generate_shapes(folder / 'set', 10, 3, seed=5, image_size=64)
    return folder / 'set'


@pytest.fixture(scope='session')
def tiny_config(tiny_shapes, tmp_path_factory) -> Path:
    """The quick Mask R-CNN, five epochs of two steps on tiny shapes."""
    path = tmp_path_factory.mktemp('config') / 'tiny.py'
    base = REPOSITORY / 'configs/mask_rcnn/mask-rcnn_quick_shapes.py'
    path.write_text(f'''
_base_ = {str(base)!r}
data_root = '{tiny_shapes}/'
train_cfg = dict(
    _delete_=True, type='EpochBasedTrainLoop', max_epochs=4, val_interval=4)
train_dataloader = dict(
    batch_size=5,
    sampler=dict(_delete_=True, type='SeededSampler', shuffle=True),
    dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(by_epoch=True, interval=1, max_keep_ckpts=-1))
log_processor = dict(by_epoch=True)
log_level = 'ERROR'
''')
    return path
