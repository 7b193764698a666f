"""Every verb of mim, from an editable install and from an installed wheel.

One short training per kind of install makes the checkpoint that the other
verbs use.
"""
import json
import shutil
from pathlib import Path

import pytest
import yaml

from mmseghead.datasets import generate_shapes
from mmseghead.testing.installs import (Installation, build_wheel,
                                        copy_checkout, install)
from mmseghead.utils import sha256_of

pytest.importorskip('mim', reason='needs the extra `mim`')
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('installs')]

STEM = 'mask-rcnn_quick_shapes'
CONFIG = f'configs/mask_rcnn/{STEM}.py'
STEPS = 2


class Zoo:
    """An installation, a tiny data set and how mim is called on them."""

    def __init__(self, kind: str, made: Installation, source: Path,
                 data: Path) -> None:
        self.kind, self.made, self.source = kind, made, source
        self.data = data
        # Below an editable install mim sees every config twice.
        self.config = (f'{STEM}.py'
                       if kind == 'wheel' else str(source / CONFIG))
        self.mirror = made.cwd.parent / 'mirror'

    @property
    def options(self) -> list:
        """Overrides that make a run short."""
        return [
            '--cfg-options',
            *(f'{part}_dataloader.dataset.data_root={self.data}/'
              for part in ('train', 'val', 'test')),
            *(f'{part}_evaluator.ann_file={self.data}/val.json'
              for part in ('val', 'test')),
            f'train_cfg.max_iters={STEPS}',
            f'train_cfg.val_interval={STEPS}',
            f'default_hooks.checkpoint.interval={STEPS}',
            'train_dataloader.batch_size=2',
        ]

    def mim(self, *arguments: str, **keywords) -> str:
        return self.made.run('-m', 'mim', *arguments, **keywords)

    def record(self, work_dir: str, kind: str = 'train') -> dict:
        path = self.made.cwd / work_dir / f'run_record_{kind}.json'
        return json.loads(path.read_text())


def add_published_model(source: Path, mirror: Path) -> None:
    """List one model with weights in a mirror and one by file URL."""
    mirror.mkdir(parents=True)
    models = []
    for name, start in (('mirrored', 'weights/'),
                        ('linked', f'file://{mirror}/')):
        weights = mirror / f'{name}-12345678.pth'
        weights.write_bytes(name.encode() * 7)
        models.append({
            'Name': name,
            'In Collection': 'Testing',
            'Config': CONFIG,
            'Weights': start + weights.name,
            'SHA256': sha256_of(weights),
            'Results': [{
                'Task': 'Instance Segmentation',
                'Dataset': 'shapes',
                'Metrics': {'mask AP': 61.5 if name == 'linked' else 23.5}
            }]
        })
    models.append({
        'Name': 'unpublished',
        'In Collection': 'Testing',
        'Config': CONFIG,
        'Weights': ''
    })
    folder = source / 'configs/testing'
    folder.mkdir()
    (folder / 'metafile.yml').write_text(
        yaml.safe_dump({
            'Collections': [{'Name': 'Testing'}],
            'Models': models
        }))
    index = yaml.safe_load((source / 'model_index.yml').read_text())
    index['Import'].append('configs/testing/metafile.yml')
    (source / 'model_index.yml').write_text(yaml.safe_dump(index))


@pytest.fixture(scope='module', params=['editable', 'wheel'])
def zoo(request, repository, tmp_path_factory) -> Zoo:
    if not (repository / '.git').exists():
        pytest.skip('needs a git checkout to copy')
    folder = tmp_path_factory.mktemp(request.param)
    source = copy_checkout(repository, folder / 'source')
    add_published_model(source, folder / 'home/mirror')
    if request.param == 'editable':
        what = ['-e', str(source)]
    else:
        (folder / 'wheel').mkdir()
        what = [str(build_wheel(source, folder / 'wheel'))]
    made = install(folder / 'home', *what)
    generate_shapes(folder / 'shapes', 4, 2, seed=3, image_size=64)
    return Zoo(request.param, made, source, folder / 'shapes')


@pytest.fixture(scope='module')
def trained(zoo) -> Path:
    """The checkpoint that `mim train` wrote."""
    zoo.mim('train', 'mmseghead', zoo.config, '--gpus', '0', '--yes',
            '--work-dir', 'trained', *zoo.options)
    return zoo.made.cwd / 'trained' / f'iter_{STEPS}.pth'


def test_train(zoo, trained):
    assert trained.is_file()
    record = zoo.record('trained')
    assert record['status'] == 'finished'
    assert record['config']['name'] == STEM
    assert record['hardware']['gpus'] == []  # --gpus 0 is the CPU
    assert record['schedule']['iterations'] == STEPS
    assert record['checkpoint'] == dict(
        file=trained.name, sha256=sha256_of(trained))


def test_test(zoo, trained):
    zoo.mim('test', 'mmseghead', zoo.config, '--checkpoint', str(trained),
            '--gpus', '0', '--yes', '--work-dir', 'tested', '--device', 'cpu',
            *zoo.options)
    record = zoo.record('tested', 'test')
    assert record['status'] == 'finished'
    assert record['checkpoint']['sha256'] == sha256_of(trained)
    trained_record = zoo.record('trained')
    assert record['metrics'] == trained_record['metrics']


def test_gridsearch(zoo):
    zoo.mim('gridsearch', 'mmseghead', zoo.config, '--gpus', '0', '--yes',
            '--work-dir', 'searched', '--search-args',
            '--optim_wrapper.optimizer.lr 0.003', *zoo.options)
    record = zoo.record('searched_search_optim_wrapper.optimizer.lr_0.003')
    assert record['status'] == 'finished'
    assert "lr=0.003, type='AdamW'" in record['config']['text']


def test_run(zoo):
    out = zoo.mim('run', 'mmseghead', 'make_shapes', '--out-dir', 'made',
                  '--num-train', '3', '--num-val', '1', '--image-size', '64')
    assert 'finished successfully' in out
    assert len(list((zoo.made.cwd / 'made/train').glob('*.png'))) == 3


def test_list(zoo):
    assert 'mmseghead' in zoo.mim('list')


def test_search(zoo):
    zoo.mim('search', 'mmseghead', '--json', 'all.json')
    fields = json.loads((zoo.made.cwd / 'all.json').read_text())
    listed = yaml.safe_load((zoo.source / 'model_index.yml').read_text())
    names = {
        model['Name']
        for path in listed['Import'] for model in yaml.safe_load(
            (zoo.source / path).read_text())['Models']
    }
    assert set(fields['config']) == names
    assert fields['weight']['unpublished'] is None
    assert fields['shapes/mask_ap']['linked'] == 61.5


def test_search_by_condition(zoo):
    out = zoo.mim('search', 'mmseghead', '--model', 'testing', '--condition',
                  'mask_AP>60')
    assert 'config id: linked' in out and 'mirrored' not in out


def test_search_with_an_unpublished_model(zoo):
    out = zoo.mim('search', 'mmseghead', '--config', 'unpublished')
    assert 'config id: unpublished' in out and 'weight' not in out


def test_download_into_the_mirror_with_plain_mim(zoo):
    """mim keeps the file it finds, and writes the config beside it."""
    out = zoo.mim('download', 'mmseghead', '--config', 'mirrored', '--dest',
                  str(zoo.mirror))
    assert 'mirrored-12345678.pth exists' in out
    assert 'mmdet.MaskRCNN' in (zoo.mirror / 'mirrored.py').read_text()


@pytest.mark.parametrize('name', ['linked', 'mirrored'])
def test_download_from_this_machine(zoo, name):
    zoo.made.run('-m', 'mmseghead.mim', 'download', 'mmseghead', '--config',
                 name, '--dest', 'got', MMSEGHEAD_WEIGHTS=str(zoo.mirror))
    got = zoo.made.cwd / 'got'
    assert (got / f'{name}-12345678.pth').read_bytes() == name.encode() * 7
    assert 'mmdet.MaskRCNN' in (got / f'{name}.py').read_text()


def test_broken_weights_are_refused(zoo, tmp_path):
    (tmp_path / 'mirrored-12345678.pth').write_bytes(b'broken')
    out = zoo.made.run('-m', 'mmseghead.mim', 'download', 'mmseghead',
                       '--config', 'mirrored', '--dest', 'refused',
                       check=False, MMSEGHEAD_WEIGHTS=str(tmp_path))
    assert 'broken, its sha256 is' in out
    assert not (zoo.made.cwd / 'refused').exists()


def test_unpublished_weights_are_explained(zoo):
    out = zoo.made.run('-m', 'mmseghead.mim', 'download', 'mmseghead',
                       '--config', 'unpublished', check=False)
    assert "No weights of 'unpublished' are published" in out


def test_two_processes(zoo):
    """Gloo on the CPU; both processes see different pictures."""
    if zoo.kind == 'wheel':
        pytest.skip('the launcher is the same; one kind of install will do')
    zoo.mim('train', 'mmseghead', zoo.config, '--gpus', '2', '--launcher',
            'pytorch', '--yes', '--work-dir', 'two', *zoo.options,
            CUDA_VISIBLE_DEVICES='-1')
    record = zoo.record('two')
    assert record['status'] == 'finished'
    assert record['world_size'] == 2
    shutil.rmtree(zoo.made.cwd / 'two')
