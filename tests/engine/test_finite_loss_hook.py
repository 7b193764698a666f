"""A run stops at a loss that is no number and says what it saw."""
from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample

from mmseghead.apis.train import load_config, train
from mmseghead.engine.hooks import FiniteLossHook
from mmseghead.testing import without_pretrained

NAN = float('nan')


def _step(hook, **losses):
    runner = SimpleNamespace(
        iter=6,
        optim_wrapper=SimpleNamespace(
            get_lr=lambda: dict(lr=[.25], base_lr=[.5])))
    samples = [DetDataSample(metainfo=dict(img_path=f'{name}.png'))
               for name in 'ab']
    hook.after_train_iter(
        runner, 0, dict(data_samples=samples),
        {name: torch.tensor(value) for name, value in losses.items()})


@pytest.mark.parametrize('value', [NAN, float('inf'), -float('inf')])
def test_names_step_loss_and_images(value):
    with pytest.raises(FloatingPointError) as caught:
        _step(FiniteLossHook(), loss=1., loss_mask=value, acc=3.)
    message = str(caught.value)
    for part in ('step 7', 'loss_mask', 'a.png, b.png', 'lr (now 0.5)'):
        assert part in message
    assert 'acc' not in message


def test_numbers_pass_and_other_outputs_are_not_looked_at():
    _step(FiniteLossHook(), loss=1e30, acc=NAN)


def test_patience_counts_steps_in_a_row():
    hook = FiniteLossHook(patience=2)
    _step(hook, loss=NAN)
    _step(hook, loss=1.)
    _step(hook, loss=NAN)
    with pytest.raises(FloatingPointError):
        _step(hook, loss=NAN)
    with pytest.raises(ValueError, match='`patience` of FiniteLossHook'):
        FiniteLossHook(patience=0)


def test_run_stops_before_a_checkpoint_of_nan(tiny_config, tmp_path):
    cfg = without_pretrained(load_config(
        str(tiny_config), work_dir=str(tmp_path), cfg_options={
            'optim_wrapper.optimizer.lr': 1e30,
            'optim_wrapper.clip_grad': None,
            'param_scheduler': []}))
    with pytest.raises(FloatingPointError, match='The loss of step'):
        train(cfg)
    assert not list(tmp_path.glob('epoch_4.pth'))
