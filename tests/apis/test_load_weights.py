"""Checkpoints are of this model, whole, and run no code."""
import os

import pytest
import torch
from mmengine.logging import MessageHub
from torch import nn

from mmseghead.apis.load_weights import load_weights, read_weights


def model(classes=3):
    return nn.Sequential(nn.Linear(4, 5), nn.Linear(5, classes))


class Evil:

    def __reduce__(self):
        return (os.mkdir, ('pwned', ))


def test_forms_of_checkpoints(tmp_path):
    wanted = model()
    state = wanted.state_dict()
    wrapped = {f'module.{k}': v for k, v in state.items()}
    hub = MessageHub.get_instance('test_load_weights')
    hub.update_scalar('loss', 2.)
    for i, content in enumerate([
            state, dict(state_dict=state, meta=dict(epoch=3)),
            dict(state_dict=wrapped, message_hub=hub.state_dict())]):
        path = str(tmp_path / f'{i}.pth')
        torch.save(content, path)
        own = model()
        load_weights(own, path)
        assert all(
            torch.equal(a, b) for a, b in zip(own.parameters(),
                                              wanted.parameters()))


def test_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(dict(state_dict=model().state_dict(), meta=Evil()), 'evil.pth')
    with pytest.raises(ValueError, match='evil.pth is refused'):
        read_weights('evil.pth')
    assert not os.path.exists('pwned')


@pytest.mark.parametrize('content, match', [
    (dict(state_dict={}), 'no weights'), ([1, 2], 'no weights'),
    (dict(meta={}, epoch=3), 'no weights')])
def test_no_weights(tmp_path, content, match):
    path = str(tmp_path / 'x.pth')
    torch.save(content, path)
    with pytest.raises(ValueError, match=match):
        read_weights(path)


def test_broken_files(tmp_path):
    path = tmp_path / 'whole.pth'
    torch.save(model().state_dict(), path)
    data = path.read_bytes()
    for name, part in (('half.pth', data[:len(data) // 2]), ('none.pth', b''),
                       ('text.pth', b'weights, honestly')):
        (tmp_path / name).write_bytes(part)
        with pytest.raises(ValueError, match=name):
            read_weights(str(tmp_path / name))
    with pytest.raises(FileNotFoundError, match='gone.pth'):
        read_weights(str(tmp_path / 'gone.pth'))


def test_other_models(tmp_path):
    path = str(tmp_path / 'x.pth')
    torch.save(model(7).state_dict(), path)
    with pytest.raises(ValueError, match=r'1.weight is \(7, 5\), not \(3, 5\)'):
        load_weights(model(), path)
    torch.save(model()[:1].state_dict(), path)
    with pytest.raises(ValueError, match='2 of 4 tensors.*1.weight is missing'):
        load_weights(model(), path)
