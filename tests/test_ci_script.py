"""The Makefile and the CI script, without setting anything up."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which('make') is None, reason='needs make')


def make(folder: Path, *arguments: str, **variables: str):
    # Variables of a make that runs the tests must not reach this one.
    environment = {
        name: value
        for name, value in os.environ.items() if name not in
        ('MAKEFLAGS', 'MAKELEVEL', 'MFLAGS', 'WHEELS', 'PYTHON', 'VENV',
         'TORCH', 'PYTEST_ARGS', 'WORKERS')
    }
    return subprocess.run(['make', *arguments],
                          cwd=folder,
                          env={
                              **environment,
                              **variables
                          },
                          stdin=subprocess.DEVNULL,
                          capture_output=True,
                          text=True)


@pytest.fixture
def checkout(repository, tmp_path) -> Path:
    """A checkout whose environment records what it is called with."""
    folder = tmp_path / 'checkout'
    folder.mkdir()
    for name in ('Makefile', 'setup.cfg', 'setup.py', 'pyproject.toml',
                 '.ci/run'):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(repository / name, folder / name)
    python = folder / '.venv/bin/python'
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n'
                      f'echo "$@" >> {folder}/calls\n'
                      'case "$*" in *"-m pytest"*) exit "${CODE:-0}";; esac\n'
                      'case "$*" in *"pip install torch"*)'
                      ' exit "${TORCH_CODE:-0}";; esac\n')
    python.chmod(0o755)
    return folder


def calls(checkout: Path) -> list:
    """Return the calls since the last question."""
    path = checkout / 'calls'
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return found


def test_help_comes_first(repository):
    run = make(repository)
    assert run.returncode == 0
    for word in ('make quickstart', 'make test', 'PYTHON', 'WHEELS'):
        assert word in run.stdout


def test_setup_steps_run_once(checkout):
    first = make(checkout, 'setup')
    assert first.returncode == 0, first.stderr
    done = '\n'.join(calls(checkout))
    assert done.index('pip install torch==2.13.0') < done.index('-e .[')
    assert 'constraints.txt' in done and '--find-links' not in done
    again = make(checkout, 'setup')
    assert calls(checkout) == []
    assert again.stdout.count('done before') == 3


def test_changed_requirements_are_installed_again(checkout):
    make(checkout, 'setup')
    calls(checkout)
    with open(checkout / 'setup.cfg', 'a') as file:
        file.write('# changed\n')
    make(checkout, 'setup')
    done = '\n'.join(calls(checkout))
    assert '-e .[' in done and 'install torch' not in done


def test_another_torch_is_installed_and_pinned_again(checkout):
    make(checkout, 'setup')
    calls(checkout)
    make(checkout, 'setup', 'TORCH=torch==2.4.1')
    done = '\n'.join(calls(checkout))
    assert 'pip install torch==2.4.1' in done and '-e .[' in done


def test_failed_step_stops_and_is_repeated(checkout):
    run = make(checkout, 'setup', TORCH_CODE='3')
    assert run.returncode != 0
    assert 'torch==2.13.0: FAILED' in run.stderr
    assert not any('-e .[' in call for call in calls(checkout))
    assert make(checkout, 'setup').returncode == 0
    assert any('install torch' in call for call in calls(checkout))


def test_unsupported_python_is_refused(checkout):
    old = checkout / 'python3.9'
    old.write_text('#!/bin/sh\n'
                   '[ "$1" = --version ] && echo Python 3.9.1 && exit 0\n'
                   'exit 1\n')
    old.chmod(0o755)
    run = make(checkout, 'setup', f'PYTHON={old}')
    assert run.returncode != 0
    assert 'needs Python 3.10, 3.11 or 3.12; found: Python 3.9.1' in run.stderr
    assert calls(checkout) == []


def test_wheels_are_offered_to_pip(checkout):
    make(checkout, 'setup', 'WHEELS=some/wheels')
    done = '\n'.join(calls(checkout))
    assert f'--find-links {checkout}/some/wheels' in done
    assert f'--wheels {checkout}/some/wheels' in done


@pytest.mark.parametrize('code', [0, 1])
@pytest.mark.parametrize('wheels', [False, True])
def test_ci_script_passes_on_the_status(checkout, code, wheels):
    if wheels:
        wheel = checkout.parent / 'shared/wheels/some-1-py3-none-any.whl'
        wheel.parent.mkdir(parents=True)
        wheel.touch()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(('MAKE', 'MFLAGS', 'WHEELS'))
    }
    run = subprocess.run([str(checkout / '.ci/run')],
                         cwd='/',
                         env=dict(environment, CODE=str(code),
                                  MMSEGHEAD_BROWSER='none to be installed',
                                  PATH=f'{Path(sys.executable).parent}:'
                                  f'{environment["PATH"]}'),
                         stdin=subprocess.DEVNULL,
                         capture_output=True,
                         text=True)
    assert (run.returncode == 0) == (code == 0), run.stderr
    done = '\n'.join(calls(checkout))
    assert '-m pytest -n 2' in done
    assert ('--find-links' in done) == wheels


@pytest.mark.parametrize('works', [False, True])
@pytest.mark.parametrize('browser', [None, 'chromium'])
@pytest.mark.parametrize('user', ['0', '1000'])
def test_a_browser_is_installed_where_that_is_possible(checkout, user,
                                                       browser, works):
    programs = checkout.parent / 'programs'
    programs.mkdir()
    for name in ('bash', 'sh', 'dirname', 'timeout'):
        (programs / name).symlink_to(shutil.which(name))
    own = {'id': f'echo {user}', 'make': f'echo "make $@" >> {checkout}/calls',
           'apt-get': f'echo "apt $@" >> {checkout}/calls; exit '
           f'{0 if works else 100}'}
    if browser:
        own[browser] = 'exit 1'
    for name, text in own.items():
        (programs / name).write_text(f'#!{shutil.which("sh")}\n{text}\n')
        (programs / name).chmod(0o755)
    run = subprocess.run([str(checkout / '.ci/run')], cwd='/',
                         env=dict(PATH=str(programs), HOME='/'),
                         stdin=subprocess.DEVNULL, capture_output=True,
                         text=True)
    assert run.returncode == 0, run.stderr
    done = calls(checkout)
    assert done[-1] == 'make test'
    asked = [line for line in done if line.startswith('apt')]
    wanted = user == '0' and browser is None
    assert bool(asked) == wanted
    assert any('install' in line and 'chromium' in line
               for line in asked) == (wanted and works)
    assert ('are skipped' in run.stderr) == (wanted and not works)


@pytest.mark.parametrize('given, expected', [
    ([], ''), (['BUDGET=5', 'DEVICE=cpu'], '--budget 5 --device cpu'),
    (['METHODS=solo yolact', 'SEEDS=0 1', 'ARGS=--dry-run'],
     '--methods solo yolact --seeds 0 1 --dry-run')
])
def test_gallery_passes_its_variables_on(checkout, given, expected):
    make(checkout, 'setup')
    calls(checkout)
    # Not from the environment, where such names may mean anything.
    run = make(checkout, 'gallery', *given, DEVICE='other', SEEDS='7')
    assert run.returncode == 0, run.stderr
    assert ' '.join(calls(checkout)) == f'tools/gallery.py {expected}'.strip()
