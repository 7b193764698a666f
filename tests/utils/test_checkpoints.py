"""Checkpoints are read without running code, and written whole or not."""
import os

import numpy as np
import pytest
import torch
from mmengine.fileio import get_file_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mmseghead.utils.checkpoints import ATOMIC, read_checkpoint


class _Runs:
    """Would make a file when it is read."""

    def __init__(self, path):
        self.command = f'touch {path}'

    def __reduce__(self):
        return os.system, (self.command, )


class _Reaches:

    def __reduce__(self):
        return getattr, (str, 'format')


def test_what_mmengine_saves_is_read(tmp_path):
    history = HistoryBuffer([1.0, 3.0], [1, 2])
    content = dict(
        state_dict=dict(weight=torch.arange(5)),
        message_hub=dict(log_scalars=dict(loss=history)),
        meta=dict(seed=np.int64(3), rate=np.float64(.5), name='x'))
    torch.save(content, tmp_path / 'a.pth')
    read = read_checkpoint(tmp_path / 'a.pth', 'cpu')
    assert torch.equal(read['state_dict']['weight'], torch.arange(5))
    found = read['message_hub']['log_scalars']['loss']
    assert found.mean(2) == history.mean(2)
    assert read['meta'] == content['meta']


@pytest.mark.parametrize('zipped', [True, False])
@pytest.mark.parametrize('load', [
    read_checkpoint, CheckpointLoader.load_checkpoint])
def test_code_is_refused_and_not_run(tmp_path, load, zipped):
    trap, path = tmp_path / 'trap', tmp_path / 'evil.pth'
    torch.save(
        dict(state_dict={}, extra=_Runs(trap)), path,
        _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match='evil.pth is refused.*system'):
        load(str(path))
    assert not trap.exists()


def test_getattr_is_for_histories_only(tmp_path):
    torch.save(dict(extra=_Reaches()), tmp_path / 'a.pth')
    with pytest.raises(ValueError, match='a.pth is refused'):
        read_checkpoint(tmp_path / 'a.pth')


@pytest.mark.parametrize('share', [0., .3, .9, None])
def test_broken_files_are_named(tmp_path, share):
    torch.save(dict(state_dict=dict(a=torch.ones(999))), tmp_path / 'a.pth')
    data = (tmp_path / 'a.pth').read_bytes()
    text = b'hello' if share is None else data[:int(share * len(data))]
    (tmp_path / 'a.pth').write_bytes(text)
    with pytest.raises(ValueError, match=f'a.pth is .*{len(text)} bytes|'
                       'a.pth is refused'):
        read_checkpoint(tmp_path / 'a.pth')


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint .*no.pth'):
        read_checkpoint(tmp_path / 'no.pth')


def test_backend_writes_whole_files(tmp_path, monkeypatch):
    backend = get_file_backend(backend_args=dict(backend=ATOMIC))
    path = tmp_path / 'deep/a.bin'
    backend.put(b'old', path)

    def full(_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match='No space left'):
        backend.put(b'new', path)
    assert path.read_bytes() == b'old'
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.undo()
    backend.put_text('täxt', path)
    assert path.read_text('utf-8') == 'täxt'
