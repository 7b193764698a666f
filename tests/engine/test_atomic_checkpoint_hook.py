"""Old checkpoints go only when the new one is there."""
import os

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmseghead.utils import read_checkpoint, register_all_modules


class _Model(BaseModel):

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))

    def forward(self, inputs, mode='tensor'):
        return dict(loss=((self.weight - 1)**2).sum())


def _runner(folder, keep, hook='mmseghead.AtomicCheckpointHook', **kwargs):
    register_all_modules(init_default_scope=False)
    data = [dict(inputs=torch.ones(1))] * 8
    return Runner(
        _Model(),
        str(folder),
        train_dataloader=dict(
            dataset=data, batch_size=1,
            sampler=dict(type='DefaultSampler', shuffle=False)),
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=8),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=.1)),
        default_hooks=dict(checkpoint=dict(
            type=hook, by_epoch=False, interval=2, max_keep_ckpts=keep)),
        default_scope='mmengine',
        log_level='ERROR',
        experiment_name=f'{folder.name}{keep}{hook}{len(kwargs)}',
        cfg=ConfigDict(),
        **kwargs)


def _saved(folder):
    return sorted(path.name for path in folder.glob('*.pth'))


@pytest.mark.parametrize('keep', [-1, 1, 3])
def test_keeps_what_mmengine_keeps(tmp_path, keep):
    contents = []
    for hook in ('CheckpointHook', 'mmseghead.AtomicCheckpointHook'):
        folder = tmp_path / hook
        _runner(folder, keep, hook).train()
        assert not [p for p in folder.iterdir() if p.name[0] == '.']
        last = read_checkpoint(folder / 'iter_8.pth')
        contents.append(
            (_saved(folder), (folder / 'last_checkpoint').read_text()
             .replace(str(folder), ''),
             last['message_hub']['runtime_info'].get('keep_ckpt_ids'),
             last['state_dict']['weight'].tolist()))
    assert contents[0] == contents[1]
    number = 4 if keep < 0 else keep
    assert len(contents[1][0]) == number


def test_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    runner = _runner(tmp_path, 1)
    flush = os.fsync
    calls = []

    def fill(handle):
        calls.append(handle)
        if len(calls) > 2:
            raise OSError(28, 'No space left on device')
        flush(handle)

    monkeypatch.setattr(os, 'fsync', fill)
    with pytest.raises(OSError, match='No space left'):
        runner.train()
    assert _saved(tmp_path) == ['iter_4.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_4.pth')
    assert read_checkpoint(tmp_path / 'iter_4.pth')['meta']['iter'] == 4


def test_resumed_run_removes_what_the_first_kept(tmp_path):
    first = _runner(tmp_path, 2)
    first.train_loop._max_iters = 4
    first.train()
    assert _saved(tmp_path) == ['iter_2.pth', 'iter_4.pth']
    second = _runner(tmp_path, 2, resume=True)
    second.train()
    assert _saved(tmp_path) == ['iter_6.pth', 'iter_8.pth']
