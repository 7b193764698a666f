"""The doctor reports and survives what is broken."""
import json
import subprocess
import sys

import pytest

from mmseghead import doctor


def finding(findings, name):
    found = [item for item in findings if item.name == name]
    assert len(found) == 1, (name, findings)
    return found[0]


def test_versions_of_what_is_installed():
    import torch
    findings = doctor.check_packages()
    assert [item.name for item in findings] == list(doctor.PACKAGES)
    assert all(item.status == doctor.OK for item in findings), findings
    assert finding(findings, 'torch').detail == f'torch {torch.__version__}'


def test_missing_package_is_a_problem_with_a_cure(monkeypatch):
    monkeypatch.setitem(doctor.PACKAGES, 'no_such_module',
                        ('no-such-dist-a', 'no-such-dist-b'))
    found = finding(doctor.check_packages(), 'no_such_module')
    assert found.status == doctor.PROBLEM
    assert 'not installed' in found.detail
    assert found.advice == 'pip install no-such-dist-a'


def test_broken_opencv_says_which_build_to_install(monkeypatch, tmp_path):
    (tmp_path / 'cv2.py').write_text(
        "raise ImportError('libGL.so.1: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, 'cv2')
    found = finding(doctor.check_packages(), 'cv2')
    assert found.status == doctor.PROBLEM
    assert 'libGL.so.1' in found.detail
    assert 'opencv-python-headless' in found.advice


def test_a_check_that_raises_is_one_problem():

    def check_stars():
        raise OSError('cloudy')

    def check_moon():
        return [doctor.Finding('moon', doctor.OK, 'full')]

    findings = doctor.examine([check_stars, check_moon])
    assert [item.name for item in findings] == ['stars', 'moon']
    assert findings[0].status == doctor.PROBLEM
    assert 'OSError: cloudy' in findings[0].detail


@pytest.mark.parametrize('version, status', [
    ((3, 9, 7), doctor.PROBLEM),
    ((3, 10, 0), doctor.OK),
    ((3, 12, 9), doctor.OK),
    ((3, 13, 1), doctor.NOTE),
])
def test_python_range(monkeypatch, version, status):
    monkeypatch.setattr(sys, 'version_info', version)
    assert doctor.check_python()[0].status == status


def test_ops_backend_is_named():
    from mmseghead import ops
    found = doctor.check_ops()[0]
    assert found.detail.startswith(ops.backend())
    assert bool(found.advice) == (ops.backend() != 'compiled')


def test_data_roots_are_counted(monkeypatch, tmp_path):
    for name in ('train/a.png', 'train/b.JPG', 'train/c.txt', 'val/d.png'):
        path = tmp_path / 'data/shapes' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / 'data/nuclei/images/val').mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    findings = doctor.check_data()
    shapes = finding(findings, 'data/shapes')
    assert (shapes.status, shapes.detail) == (
        doctor.OK, 'train 2 images, val 1 images')
    nuclei = finding(findings, 'data/nuclei')
    assert nuclei.status == doctor.NOTE and nuclei.advice
    coco = finding(findings, 'data/coco')
    assert coco.status == doctor.NOTE and coco.advice


def test_named_mirror_must_exist(monkeypatch, tmp_path):
    (tmp_path / 'mirror').mkdir()
    (tmp_path / 'mirror/a.pth').touch()
    monkeypatch.setenv('MMSEGHEAD_WEIGHTS',
                       f'{tmp_path}/mirror:{tmp_path}/none')
    good, bad = doctor.check_weights()[1:]
    assert good.status == doctor.OK and good.detail.endswith('1 checkpoints')
    assert bad.status == doctor.PROBLEM and bad.advice


def test_unknown_to_mim_is_a_problem(monkeypatch):
    utils = pytest.importorskip('mim.utils')

    def get_installed_path(package):
        raise RuntimeError(f'{package} is not installed.')

    monkeypatch.setattr(utils, 'get_installed_path', get_installed_path)
    assert doctor.check_mim()[0].status == doctor.PROBLEM


def test_mim_root_without_scripts_is_a_problem(monkeypatch, tmp_path):
    utils = pytest.importorskip('mim.utils')
    monkeypatch.setattr(utils, 'get_installed_path', lambda _: str(tmp_path))
    (tmp_path / '.mim/tools').mkdir(parents=True)
    (tmp_path / '.mim/tools/train.py').touch()
    found = doctor.check_mim()[0]
    assert found.status == doctor.PROBLEM
    assert 'tools/test.py, model-index.yml' in found.detail


@pytest.mark.parametrize('status, code', [(doctor.OK, 0), (doctor.NOTE, 0),
                                          (doctor.PROBLEM, 1)])
def test_exit_status_and_json(monkeypatch, capsys, status, code):
    item = doctor.Finding('thing', status, 'seen', 'do it')
    monkeypatch.setattr(doctor, 'examine', lambda: [item])
    assert doctor.main(['--json']) == code
    assert json.loads(capsys.readouterr().out) == [
        dict(name='thing', status=status, detail='seen', advice='do it')
    ]
    assert doctor.main([]) == code
    assert 'do it' in capsys.readouterr().out


def test_it_lives_without_mmengine(tmp_path):
    """Importing the package fails then, which must not stop the doctor."""
    (tmp_path / 'mmengine.py').write_text("raise ImportError('broken')\n")
    script = ('import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); '
              "sys.orig_argv = ['python', '-m', 'mmseghead.doctor']; "
              "runpy.run_module('mmseghead.doctor', run_name='__main__')")
    run = subprocess.run([sys.executable, '-c', script,
                          str(tmp_path)],
                         capture_output=True,
                         text=True)
    assert run.returncode == 1, run.stderr
    assert 'PROBLEM mmengine' in run.stdout
    assert 'Traceback' not in run.stderr
