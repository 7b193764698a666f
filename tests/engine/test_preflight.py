"""Checks before a run: what they say, and that they leave no trace."""
import copy
import random

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseghead.apis.cost import build_model
from mmseghead.apis.preflight import preflight
from mmseghead.apis.train import load_config
from mmseghead.apis.train import test as run_test
from mmseghead.engine.hooks import PreflightHook
from mmseghead.engine.memory_estimate import estimate_memory
from mmseghead.engine.preflight import batch_findings, foreign_weights
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils.findings import Finding, describe_findings, has_errors

QUICK = 'configs/mask_rcnn/mask-rcnn_quick_shapes.py'


def _sample(shape=(64, 96), number=3):
    batch = fake_batch([shape], [number], 6)
    return {key: value[0] for key, value in batch.items()}


@pytest.fixture
def model(repository):
    cfg = without_pretrained(Config.fromfile(repository / QUICK))
    return build_model(cfg)


def test_estimate_leaves_no_trace(model):
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    estimate_memory(model, _sample(), 2, dict(type='AdamW'))
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(np.random.get_state()[1], states[2][1])
    assert [module.training for module in model.modules()] == modes
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in model.parameters())


def test_estimate_counts_by_hand():

    class Tiny(torch.nn.Module):

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(5))
            self.register_buffer('shift', torch.ones(3))

        def data_preprocessor(self, data, training):
            return dict(x=data['inputs'][0])

        def forward(self, x, mode):
            # exp keeps its result, the product its two factors.
            return dict(loss=(x.exp() * self.weight).sum())

    model = Tiny()
    model.frozen = torch.nn.Parameter(torch.ones(2), requires_grad=False)
    x = torch.ones(7, 5, requires_grad=True)
    image = dict(inputs=x, data_samples=None)
    found = estimate_memory(model, image, 3, dict(type='AdamW'))
    # exp's result is the product's factor: 7 x 5 numbers, counted once.
    assert found == (4 * 10, 4 * 5, 2 * 4 * 5, 3 * 4 * 35)
    assert found.total == 40 + 20 + 40 + 420
    plain = estimate_memory(model, image, 1, dict(type='SGD', lr=1))
    assert plain.optimizer == 0
    heavy = estimate_memory(model, image, 1, dict(type='SGD', momentum=.9))
    assert heavy.optimizer == 20


def test_estimate_grows_with_image_and_batch(model):
    small = estimate_memory(model, _sample(), 1, dict(type='AdamW'))
    double = estimate_memory(model, _sample(), 2, dict(type='AdamW'))
    large = estimate_memory(model, _sample((128, 192)), 1, dict(type='AdamW'))
    assert double.activations == 2 * small.activations
    assert large.activations > 2 * small.activations
    assert large.weights == small.weights > 0


@pytest.mark.parametrize('batch, ranks, steps, enable, rate', [
    (8, 1, 1, False, '0.04'),
    (4, 2, 1, False, '0.04'),
    (4, 1, 2, False, '0.04'),
    (4, 1, 1, False, None),
    (8, 1, 1, True, None),
    (1, 1, 1, False, '0.005'),
])
def test_learning_rate_against_batch(batch, ranks, steps, enable, rate):
    cfg = dict(
        auto_scale_lr=dict(base_batch_size=4, enable=enable),
        train_dataloader=dict(batch_size=batch),
        optim_wrapper=dict(
            accumulative_counts=steps, optimizer=dict(lr=0.02)))
    found = list(batch_findings(cfg, ranks))
    assert len(found) == (rate is not None)
    if rate:
        assert found[0].severity == 'warning'
        assert f'it is {rate}:' in found[0].message


def test_errors_come_last():
    found = [Finding('error', 'a', 'one\ntwo'), Finding('info', 'b', 'three')]
    assert has_errors(found) and not has_errors(found[1:])
    assert describe_findings(found).splitlines() == [
        'info    b: three', 'error   a: one', '    two'
    ]


def test_hook_refuses_odd_arguments():
    with pytest.raises(TypeError, match='`images` of PreflightHook'):
        PreflightHook(images='all')
    with pytest.raises(ValueError, match='must be >= 0'):
        PreflightHook(images=-1)


def _runner(tiny_config, tmp_path, **options):
    cfg = without_pretrained(load_config(
        str(tiny_config), work_dir=str(tmp_path), cfg_options=options))
    cfg.custom_hooks = [dict(type='PreflightHook')]
    cfg.train_cfg.max_epochs = 1
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    return Runner.from_cfg(cfg)


def test_hook_stops_before_the_first_step(tiny_config, tmp_path):
    runner = _runner(tiny_config, tmp_path)
    runner.cfg.train_cfg.max_epoch = 3
    with pytest.raises(ValueError, match='Did you mean max_epochs'):
        runner.train()
    assert runner.iter == 0 and not list(tmp_path.glob('*.pth'))


def test_run_is_equal_to_the_bit_with_and_without(tiny_config, tmp_path):
    with_hook = _runner(tiny_config, tmp_path / 'a')
    without = _runner(tiny_config, tmp_path / 'b')
    without._hooks = [
        hook for hook in without.hooks
        if not isinstance(hook, PreflightHook)
    ]
    assert len(without.hooks) + 1 == len(with_hook.hooks)
    for runner in (with_hook, without):
        runner.set_randomness(seed=3)
        runner.train()
    other = without.model.state_dict()
    for name, value in with_hook.model.state_dict().items():
        assert torch.equal(value, other[name]), name


def _checked(path, **options):
    found = preflight(load_config(str(path), cfg_options=options))
    return {(f.severity, f.part): f.message for f in found}


def test_clean_config_has_no_errors(tiny_config):
    found = _checked(tiny_config)
    assert not any(severity == 'error' for severity, _ in found)
    assert '10 of 10 images' in found['info', 'train data']
    assert 'a step of 5 images' in found['info', 'memory']
    assert 'the same' in found['info', 'test data']
    # The recipe is for batches of 4.
    assert 'a step here has 5' in found['warning', 'learning rate']


def test_all_faults_are_found_at_once(tiny_config, tiny_shapes, tmp_path):
    images = tmp_path / 'train'
    images.mkdir()
    for path in sorted((tiny_shapes / 'train').iterdir()):
        cv2.imwrite(str(images / path.name), cv2.imread(str(path))[:, 3:])
    found = _checked(
        tiny_config, **{
            'train_dataloader.dataset.data_prefix.img': str(images),
            'val_dataloader.dataset.ann_file': 'nothing.json',
            'val_evaluator.ann_file': str(tmp_path / 'other.json'),
            'model.roi_head.mask_head.num_classes': 5,
            'model.neck.qqq': 5,
        })
    errors = {part: text for (severity, part), text in found.items()
              if severity == 'error'}
    assert set(errors) == {
        'config key', 'train data', 'val data', 'val evaluator', 'model'
    }
    assert "'qqq'" in errors['config key']
    assert '5 more images' in errors['train data']
    assert 'nothing.json' in errors['val data']
    assert 'other.json' in errors['val evaluator']


def test_weights_of_another_model_stop(tiny_config, tmp_path, model):
    other = torch.nn.Linear(3, 4)
    path = tmp_path / 'other.pth'
    torch.save(
        dict(state_dict=other.state_dict(),
             meta=dict(config_name='line')), path)
    cfg = load_config(str(tiny_config), work_dir=str(tmp_path / 'a'))
    with pytest.raises(ValueError, match=r'\(of line\) is not one of this '
                       r'model: \d+ of \d+ tensors do not fit: .*missing'):
        run_test(without_pretrained(cfg), str(path))
    runner = _runner(tiny_config, tmp_path / 'b', load_from=str(path))
    with pytest.raises(ValueError, match='not one of this model'):
        runner.train()


def test_weights_may_lack_a_head_in_training_only(model):
    state = model.state_dict()
    head = 'roi_head.mask_head.conv_logits.weight'
    state[head] = state[head][:2]
    assert foreign_weights(model, state, 0.1) == ''
    message = foreign_weights(model, state, 1.0)
    assert head in message and message.startswith('1 of ')
    prefixed = {f'module.{key}': w for key, w in model.state_dict().items()}
    assert foreign_weights(model, prefixed, 1.0) == ''
