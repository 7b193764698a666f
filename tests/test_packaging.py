"""Wheels, source archives and editable installs hold what they must."""
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from mmseghead.testing.installs import (build_wheel, copy_checkout, install,
                                        run_python)

pytestmark = pytest.mark.xdist_group('packaging')
HOMES = ('mmseghead/.mim', '_mmseghead_mim/.mim')
CONFIG = 'configs/mask_rcnn/mask-rcnn_quick_shapes.py'


@pytest.fixture(scope='module')
def source(repository, tmp_path_factory) -> Path:
    if not (repository / '.git').exists():
        pytest.skip('needs a git checkout to copy')
    return copy_checkout(repository, tmp_path_factory.mktemp('source'))


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory) -> Path:
    return build_wheel(source, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory):
    return install(tmp_path_factory.mktemp('installed'), str(wheel))


def expected_files(source: Path) -> set:
    """What a .mim folder holds, relative to it."""
    kinds = ('.py', '.yml', '.md', '.sh')
    files = {
        str(path.relative_to(source))
        for part in ('configs', 'tools') for path in (source / part).rglob('*')
        if path.suffix in kinds
    }
    return files | {'model-index.yml'}


def names_in(archive: Path) -> set:
    if archive.suffix == '.whl':
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as tar:
        return {
            name.partition('/')[2]
            for name in tar.getnames() if tar.getmember(name).isfile()
        }


def mim_files(names: set, home: str) -> set:
    return {
        name[len(home) + 1:]
        for name in names if name.startswith(home + '/')
    }


def test_wheel_holds_configs_tools_and_index_twice(source, wheel):
    names = names_in(wheel)
    for home in HOMES:
        assert mim_files(names, home) == expected_files(source)
    assert any(name.endswith('licenses/LICENSE') for name in names)
    assert {name.partition('/')[0]
            for name in names} == {
                'mmseghead', '_mmseghead_mim', 'mmseghead-0.1.0.dist-info'
            }


def test_index_is_the_one_at_the_top(source, wheel):
    content = zipfile.ZipFile(wheel).read('mmseghead/.mim/model-index.yml')
    assert content == (source / 'model_index.yml').read_bytes()


def test_building_a_wheel_leaves_no_mim_folder(source, wheel):
    assert not (source / 'mmseghead/.mim').exists()
    assert not (source / 'model-index.yml').exists()


def test_a_stale_build_folder_leaves_nothing_behind(source, wheel, tmp_path):
    stale = source / 'build/lib/mmseghead/.mim/configs/stale.py'
    stale.parent.mkdir(parents=True, exist_ok=True)
    stale.write_text('')
    again = build_wheel(source, tmp_path)
    assert names_in(again) == names_in(wheel)


def test_wheel_can_be_built_from_the_source_archive(source, wheel, tmp_path):
    run = run_python(
        sys.executable,
        '-c',
        'import setuptools.build_meta as b; '
        f'b.build_sdist({str(tmp_path)!r})',
        cwd=source)
    assert run.returncode == 0, run.stdout
    archive = next(tmp_path.glob('*.tar.gz'))
    names = names_in(archive)
    # `mim search --remote` reads the archive as it is.
    assert mim_files(names, 'mmseghead/.mim') == expected_files(source)
    for name in ('Makefile', 'CHANGELOG.md', CONFIG, 'tools/train.py'):
        assert name in names
    (tmp_path / 'built').mkdir()
    built = build_wheel(archive, tmp_path / 'built')
    assert names_in(built) == names_in(wheel)


def test_editable_install_links(repository, tmp_path):
    if not (repository / '.git').exists():
        pytest.skip('needs a git checkout to copy')
    source = copy_checkout(repository, tmp_path / 'source')
    # As in an unpacked source archive: copies, which must give way.
    stale = source / 'mmseghead/.mim/configs'
    stale.mkdir(parents=True)
    (tmp_path / 'installed').mkdir()
    made = install(tmp_path / 'installed', '-e', str(source))
    home = source / 'mmseghead/.mim'
    for name in ('configs', 'tools'):
        assert os.readlink(home / name) == f'../../{name}'
    assert (home / 'model-index.yml').samefile(source / 'model_index.yml')
    assert (source / 'model-index.yml').samefile(source / 'model_index.yml')
    # The links are neither tracked nor in the way of a wheel.
    subprocess.run(['git', 'init', '-q'], cwd=source, check=True)
    untracked = subprocess.run(
        ['git', 'status', '--porcelain', '--untracked-files=all'],
        cwd=source,
        capture_output=True,
        text=True).stdout
    assert '.mim/' not in untracked and 'model-index.yml' not in untracked
    (tmp_path / 'wheel').mkdir()
    names = names_in(build_wheel(source, tmp_path / 'wheel'))
    assert mim_files(names, HOMES[0]) == expected_files(source)
    assert os.readlink(home / 'configs') == '../../configs'
    where = made.run('-c', 'import mmseghead; print(mmseghead.__file__)')
    assert str(source / 'mmseghead') in where


LOOKUPS = f'''
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.infer import BaseInferencer
import mmseghead
inherited = Config.fromfile('child.py')
assert inherited.model.type == 'mmdet.MaskRCNN', inherited.model.type
assert inherited.extra == 1
named = get_config('mmseghead::{CONFIG.partition("/")[2]}')
assert named.data_root == inherited.data_root
assert named.model.type == inherited.model.type
names = BaseInferencer.list_models('mmseghead')
assert 'mask-rcnn_r50_fpn_1x_coco' in names, names
print('looked up in', mmseghead.__file__)
'''


def test_wheel_works_from_another_folder(installed):
    (installed.cwd / 'child.py').write_text(
        f"_base_ = 'mmseghead::{CONFIG.partition('/')[2]}'\nextra = 1\n")
    assert str(installed.site) in installed.run('-c', LOOKUPS)


def test_doctor_is_content_with_the_wheel(installed):
    report = installed.run('-m', 'mmseghead.doctor')
    assert '0 problems.' in report
    assert f'{installed.site}/_mmseghead_mim' in report


def test_no_console_script_breaks_mims_lookup(installed):
    record = next(installed.site.glob('mmseghead-*.dist-info/RECORD'))
    assert record.read_text().startswith('_mmseghead_mim/.mim/')
