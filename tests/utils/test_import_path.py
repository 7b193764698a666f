import importlib.metadata
import os
import sys

import pytest

from mmseghead.utils.import_path import without_working_folder


@pytest.mark.parametrize('entry', ['', '.', None])
def test_an_egg_info_in_the_working_folder_is_not_seen(
        tmp_path, monkeypatch, entry):
    """What `python -m` in an installed checkout would find first."""
    egg = tmp_path / 'seghead_probe.egg-info'
    egg.mkdir()
    (egg / 'PKG-INFO').write_text('Name: seghead-probe\nVersion: 1\n')
    monkeypatch.chdir(tmp_path)
    path = [os.getcwd() if entry is None else entry, *sys.path]
    monkeypatch.setattr(sys, 'path', list(path))
    assert importlib.metadata.version('seghead-probe') == '1'
    with without_working_folder():
        with pytest.raises(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version('seghead-probe')
        assert importlib.metadata.version('pytest')
    assert sys.path == path
