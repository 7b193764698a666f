import hashlib
import os

import pytest

from mmseghead.utils import atomic_write, sha256_of


def test_content_appears_at_the_end(tmp_path):
    path = tmp_path / 'new' / 'file.txt'
    with atomic_write(path) as file:
        file.write('Größe')
        assert not path.exists()
    assert path.read_text(encoding='utf-8') == 'Größe'
    assert os.listdir(path.parent) == ['file.txt']


def test_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / 'file.bin'
    path.write_bytes(b'old')
    with pytest.raises(RuntimeError, match='half'):
        with atomic_write(path, 'wb') as file:
            file.write(b'new')
            raise RuntimeError('half')
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['file.bin']


def test_permissions_are_those_of_open(tmp_path):
    with atomic_write(tmp_path / 'a'):
        pass
    (tmp_path / 'b').write_text('')
    modes = {os.stat(tmp_path / name).st_mode for name in 'ab'}
    assert len(modes) == 1


def test_mode_is_checked(tmp_path):
    with pytest.raises(ValueError, match="got 'a'"):
        with atomic_write(tmp_path / 'a', 'a'):
            pass


def test_sha256(tmp_path):
    content = bytes(range(256)) * 5000  # more than one block
    path = tmp_path / 'data'
    path.write_bytes(content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()
