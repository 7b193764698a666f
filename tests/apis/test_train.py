"""Training and testing as a whole, on a data set of a dozen pictures."""
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from mmseghead import apis
from mmseghead.utils import sha256_of


def run(config, work_dir, resume=None, **options):
    cfg = apis.load_config(
        str(config), work_dir=str(work_dir), cfg_options=options)
    apis.set_resume(cfg, resume)
    return apis.train(cfg)


def weights(path):
    loaded = torch.load(path, map_location='cpu', weights_only=False)
    return loaded['state_dict']


def assert_equal_weights(a, b):
    assert a.keys() == b.keys()
    different = [key for key in a if not torch.equal(a[key], b[key])]
    assert not different


def record(work_dir, kind='train'):
    return json.loads((work_dir / f'run_record_{kind}.json').read_text())


@pytest.fixture(scope='module')
def whole(tiny_config, tmp_path_factory):
    """Four epochs without a break."""
    work_dir = tmp_path_factory.mktemp('whole')
    run(tiny_config, work_dir)
    return work_dir


@pytest.mark.slow
def test_same_seed_same_weights(whole, tiny_config, tmp_path):
    torch.manual_seed(12345)  # what ran before must not matter
    run(tiny_config, tmp_path)
    assert_equal_weights(
        weights(whole / 'epoch_4.pth'), weights(tmp_path / 'epoch_4.pth'))


@pytest.mark.slow
def test_other_seed_other_weights(whole, tiny_config, tmp_path):
    run(tiny_config, tmp_path, **{
        'randomness.seed': 1,
        'train_cfg.max_epochs': 1,
        'val_cfg': None,
        'val_dataloader': None,
        'val_evaluator': None
    })
    a = weights(whole / 'epoch_1.pth')
    b = weights(tmp_path / 'epoch_1.pth')
    assert any(not torch.equal(a[key], b[key]) for key in a)


@pytest.mark.slow
def test_two_and_two_epochs_are_four(whole, tiny_config, tmp_path):
    run(tiny_config, tmp_path, **{'train_cfg.max_epochs': 2})
    first = record(tmp_path)
    assert first['schedule']['iterations'] == 4
    run(tiny_config, tmp_path, resume='auto')
    assert_equal_weights(
        weights(whole / 'epoch_4.pth'), weights(tmp_path / 'epoch_4.pth'))
    second = record(tmp_path)
    assert second['resumed_at_iteration'] == 4
    assert second['times']['total_s'] > first['times']['total_s']
    assert second['metrics'] == record(whole)['metrics']


@pytest.mark.slow
def test_killed_run_resumes_to_the_bit(tiny_config, tmp_path):
    """SIGKILL in an iteration-based run: nothing older is lost."""
    config = tmp_path / 'killed.py'
    config.write_text(f'''
_base_ = {str(tiny_config)!r}
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=6, val_interval=6)
train_dataloader = dict(
    batch_size=3, sampler=dict(_delete_=True, type='SeededInfiniteSampler'))
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=2, max_keep_ckpts=-1))
log_processor = dict(by_epoch=False)
''')
    run(config, tmp_path / 'whole')
    train = 'from mmseghead import apis; import sys; ' \
        'apis.train(apis.load_config(sys.argv[1], work_dir=sys.argv[2]))'
    process = subprocess.Popen(
        [sys.executable, '-c', train,
         str(config), str(tmp_path / 'killed')],
        env=dict(os.environ, OMP_NUM_THREADS='1'),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)
    wait_for = tmp_path / 'killed' / 'last_checkpoint'
    while not wait_for.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    interrupted = record(tmp_path / 'killed')
    assert interrupted['status'] == 'running'
    run(config, tmp_path / 'killed', resume='auto')
    resumed = record(tmp_path / 'killed')
    assert resumed['status'] == 'finished'
    assert resumed['resumed_at_iteration'] >= 2
    assert_equal_weights(
        weights(tmp_path / 'whole' / 'iter_6.pth'),
        weights(tmp_path / 'killed' / 'iter_6.pth'))


def test_train_record_tells_all(whole, tiny_config):
    got = record(whole)
    assert got['schema'] == 1 and got['kind'] == 'train'
    assert got['status'] == 'finished' and got['finished']
    assert got['config']['name'] == 'tiny'
    assert 'EpochBasedTrainLoop' in got['config']['text']
    assert got['seed'] == 0 and got['world_size'] == 1
    assert got['data']['train']['images'] == 10
    assert got['data']['val']['images'] == 3
    assert got['data']['val']['classes'][1:3] == ['box', 'star']
    assert got['schedule'] == dict(
        epochs=4, iterations=8, batch_size=5, images_seen=40)
    times = got['times']
    assert times['train_s'] > 0 and times['val_s'] > 0
    assert times['total_s'] == pytest.approx(
        times['train_s'] + times['val_s'], abs=0.05)
    assert got['peak_memory_mib']['host'] > 100
    assert got['versions']['torch'] == torch.__version__
    assert got['versions']['ops_backend'] in ('compiled', 'torch')
    assert {'coco/bbox_mAP', 'coco/segm_mAP_75'} <= set(got['metrics'])
    assert got['checkpoint'] == dict(
        file='epoch_4.pth', sha256=sha256_of(whole / 'epoch_4.pth'))
    parameters = sum(
        value.numel() for key, value in weights(whole / 'epoch_4.pth').items()
        if 'running' not in key and 'num_batches' not in key)
    assert got['model']['parameters'] == parameters


def test_test_run_repeats_the_metrics(whole, tiny_config, tmp_path,
                                      monkeypatch):
    cfg = apis.load_config(str(tiny_config), work_dir=str(tmp_path))
    dump = tmp_path / 'predictions.pkl'
    apis.set_outputs(cfg, out=str(dump), show_dir='pictures')
    # By the zoo's name for it, as published files are called.
    digest = sha256_of(whole / 'epoch_4.pth')
    name = f'tiny-{digest[:8]}.pth'
    shutil.copy(whole / 'epoch_4.pth', tmp_path / name)
    monkeypatch.setenv('MMSEGHEAD_WEIGHTS', str(tmp_path))
    metrics = apis.test(cfg, f'mmseghead://{name}')
    got = record(tmp_path, 'test')
    assert got['metrics'] == pytest.approx(record(whole)['metrics'])
    assert metrics == got['metrics']
    assert got['checkpoint'] == dict(file=name, sha256=digest)
    assert digest == record(whole)['checkpoint']['sha256']
    assert got['data'].keys() == {'test'}
    assert got['schedule']['images_seen'] == 3
    assert dump.exists()
    assert len(list(tmp_path.glob('*/pictures/*.png'))) == 3


@pytest.mark.parametrize('flush', [False, True])
def test_the_callers_arithmetic_is_left_alone(tiny_config, tmp_path, flush):
    smallest = torch.tensor(5e-324, dtype=torch.float64)
    torch.set_flush_denormal(flush)
    try:
        cfg = apis.load_config(str(tiny_config), work_dir=str(tmp_path))
        cfg.optim_wrapper.clip_grad.max_norm = 'wide'
        with pytest.raises(Exception):
            apis.train(cfg)
        assert bool(smallest * 1 == 0) is flush
    finally:
        torch.set_flush_denormal(False)


def test_failure_is_on_record(tiny_config, tmp_path):
    cfg = apis.load_config(
        str(tiny_config),
        work_dir=str(tmp_path),
        cfg_options={'optim_wrapper.clip_grad.max_norm': 'wide'})
    with pytest.raises(Exception):
        apis.train(cfg)
    got = record(tmp_path)
    assert got['status'] == 'failed'
    assert 'wide' in got['error'] or 'Error' in got['error']


def test_wrong_classes_stop_before_the_first_step(tiny_config, tmp_path):
    names = ('disk', 'star', 'box', 'gear', 'ring', 'crescent')
    cfg = apis.load_config(
        str(tiny_config),
        work_dir=str(tmp_path),
        cfg_options=dict(classes=names))
    with pytest.raises(ValueError, match='star'):
        apis.train(cfg)
    assert not list(tmp_path.glob('*.pth'))


def test_top_level_classes_reach_the_heads(tiny_config):
    cfg = apis.load_config(
        str(tiny_config), cfg_options=dict(classes=('cell', 'wall')))
    assert cfg.model.roi_head.mask_head.num_classes == 2
    metainfo = cfg.train_dataloader.dataset.metainfo
    assert tuple(metainfo.classes) == ('cell', 'wall')


def test_missing_files_are_named(tiny_config, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere.py'):
        apis.load_config('nowhere.py')
    cfg = apis.load_config(str(tiny_config), work_dir=str(tmp_path))
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        apis.test(cfg, 'nowhere.pth')
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        apis.set_resume(cfg, 'nowhere.pth')


def test_options_are_parsed_and_checked():
    parsed = apis.parse_options(['a.b=1', 'c=[x,2.5]', 'd=True', 'e=text'])
    assert parsed == {'a.b': 1, 'c': ['x', 2.5], 'd': True, 'e': 'text'}
    assert apis.parse_options(None) == {}
    for bad in ('a.b', '=3'):
        with pytest.raises(ValueError, match='key=value'):
            apis.parse_options([bad])


def test_amp_on_the_cpu_is_bfloat16(tiny_config):
    cfg = apis.load_config(str(tiny_config))
    apis.enable_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    if not torch.cuda.is_available():
        assert cfg.optim_wrapper.dtype == 'bfloat16'


def test_switches_need_their_config_keys(tiny_config):
    cfg = apis.load_config(str(tiny_config))
    apis.enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable
    del cfg.auto_scale_lr['base_batch_size']
    with pytest.raises(KeyError, match='base_batch_size'):
        apis.enable_auto_scale_lr(cfg)
    with pytest.raises(ValueError, match='.pkl'):
        apis.set_outputs(cfg, out='predictions.json')
