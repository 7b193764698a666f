"""What counts as a changed checkout."""
import subprocess

import pytest

from mmseghead.utils import run_environment


@pytest.mark.parametrize('path, dirty', [
    ('mmseghead/a.py', True), ('configs/x/a.py', True),
    ('configs/x/metafile.yml', False), ('configs/x/README.md', False),
    ('README.md', False), ('docs/run_records/a.json', False)
])
def test_documents_make_no_checkout_dirty(tmp_path, monkeypatch, path, dirty):
    def git(*arguments):
        subprocess.run(['git', '-C', tmp_path, '-c', 'user.name=a', '-c',
                        'user.email=a@b', *arguments], check=True,
                       capture_output=True)

    monkeypatch.setattr(run_environment, 'repository_root', lambda: tmp_path)
    for name in ('setup.py', path):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('before')
    git('init', '-q')
    git('add', '.')
    git('commit', '-q', '-m', 'all')
    assert run_environment.git_state()['dirty'] is False
    (tmp_path / path).write_text('after')
    assert run_environment.git_state()['dirty'] is dirty
