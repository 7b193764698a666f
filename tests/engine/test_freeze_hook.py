"""What is frozen stays equal to the bit, and all else learns."""
import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from mmseghead import apis
from mmseghead.engine.hooks import FreezeHook, freeze_hook
from mmseghead.testing import without_pretrained


class Toy(nn.Module):

    def __init__(self):
        super().__init__()
        self.neck = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
        self.neck2 = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))


def start(hook, model):
    runner = SimpleNamespace(model=model, logger=logging.getLogger('test'))
    hook.before_train(runner)
    model.train()
    hook.before_train_iter(runner, 0)


@pytest.mark.parametrize('hook', [
    FreezeHook(freeze=['neck']), FreezeHook(train_only=['neck2'])])
def test_a_name_ends_at_a_dot(hook):
    model = Toy()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    start(hook, model)
    optimizer = torch.optim.AdamW(model.parameters(), 0.1, weight_decay=0.5)
    x = model.neck2(model.neck(torch.randn(5, 2, 3, 4)))
    x.square().sum().backward()
    optimizer.step()
    same = {k for k, v in model.state_dict().items()
            if torch.equal(v, before[k])}
    assert same == {k for k in before if k.startswith('neck.')}


@pytest.mark.parametrize('arguments', [
    {}, dict(freeze=['a'], train_only=['b'])])
def test_exactly_one_list(arguments):
    with pytest.raises(ValueError, match='either `freeze` or `train_only`'):
        FreezeHook(**arguments)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match='`freeze` .* list .*backbone'):
        FreezeHook(freeze='backbone')
    with pytest.raises(ValueError, match="no 'nec'. Nearest: neck"):
        start(FreezeHook(freeze=['nec']), Toy())
    with pytest.raises(ValueError, match='nothing of the model'):
        start(FreezeHook(freeze=['neck', 'neck2']), Toy())


def test_several_processes_need_an_option(monkeypatch):
    """Gradients that never come make them wait for each other."""
    monkeypatch.setattr(freeze_hook, 'is_model_wrapper', lambda model: True)
    wrapper = SimpleNamespace(module=Toy(), find_unused_parameters=False)
    hook = FreezeHook(freeze=['neck'])
    runner = SimpleNamespace(model=wrapper, logger=logging.getLogger('test'))
    with pytest.raises(ValueError, match='find_unused_parameters=True'):
        hook.before_train(runner)
    wrapper.find_unused_parameters = True
    hook.before_train(runner)
    assert not wrapper.module.neck[0].weight.requires_grad


def test_in_a_run(tiny_config, tmp_path):
    cfg = without_pretrained(apis.load_config(
        str(tiny_config), work_dir=str(tmp_path), cfg_options={
            'train_cfg.max_epochs': 2,
            'custom_hooks': [dict(type='mmseghead.FreezeHook',
                                  freeze=['backbone', 'neck'])]}))
    apis.train(cfg)
    one, two = [
        torch.load(tmp_path / f'epoch_{i}.pth', weights_only=False)[
            'state_dict'] for i in (1, 2)
    ]
    for name, value in one.items():
        frozen = name.startswith(('backbone.', 'neck.'))
        if value.is_floating_point() and value.numel() > 1:
            assert torch.equal(value, two[name]) == frozen, name
