"""Early stopping, also of what was interrupted."""
import json
import logging
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.model import BaseModel
from mmengine.structures import InstanceData

from mmseghead import apis
from mmseghead.datasets import generate_shapes
from mmseghead.engine.hooks import EarlyStopHook
from mmseghead.registry import MODELS


def runner_at(work_dir, step=0):
    return SimpleNamespace(
        iter=step, work_dir=str(work_dir),
        train_loop=SimpleNamespace(stop_training=False),
        logger=logging.getLogger('quiet'))


def play(work_dir, scores, begin=0, monitor='val/loss', **options):
    """Validate at steps 10, 20, ... after `begin`; return the last step."""
    hook = EarlyStopHook(monitor, **options)
    runner = runner_at(work_dir, begin)
    hook.before_run(runner)
    hook.before_train(runner)
    for i, score in enumerate(scores, 1):
        if runner.train_loop.stop_training:
            break
        if 10 * i > begin:
            runner.iter = 10 * i
            hook.after_val_epoch(runner, {monitor: score})
    return runner.iter if runner.train_loop.stop_training else None


def test_stops_after_its_patience(tmp_path):
    scores = [3.0, 2.0, 2.5, 1.0, 1.1, 1.2, 1.3]
    assert play(tmp_path, scores, patience=2) == 60
    assert play(tmp_path, scores, patience=3) == 70
    assert play(tmp_path, scores, patience=4) is None
    up = [-score for score in scores]
    assert play(tmp_path, up, monitor='coco/segm_mAP', patience=2) == 60
    # What stays equal does not improve; nor does what improves too little.
    assert play(tmp_path, [1.0] * 5, patience=2) == 30
    assert play(tmp_path, [1.0, 0.99, 0.98], patience=2,
                min_delta=0.05) == 30
    assert play(tmp_path, [1.0, float('nan')], patience=5) == 20
    assert play(tmp_path, [3, 2, 1], stopping_threshold=2.5) == 20


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=8),
       st.integers(0, 8), st.integers(1, 3))
def test_a_resumed_run_stops_where_the_whole_one_does(
        tmp_path_factory, scores, kept, patience):
    folder = tmp_path_factory.mktemp('run')
    whole = play(folder / 'whole', scores, patience=patience)
    # Killed after all these validations, resumed from an earlier checkpoint.
    play(folder / 'cut', scores, patience=patience)
    kept = min(kept, len(scores), (whole or 10**6) // 10)
    assert play(folder / 'cut', scores, begin=10 * kept,
                patience=patience) == whole


def test_a_fresh_run_forgets_the_folders_old_scores(tmp_path):
    assert play(tmp_path, [1.0, 2.0], patience=3) is None
    assert play(tmp_path, [2.0, 3.0, 4.0], patience=3) is None
    data = json.loads((tmp_path / 'early_stopping.json').read_text())
    assert data == {'val/loss': {'10': 2.0, '20': 3.0, '30': 4.0}}
    # Another metric has a history of its own.
    assert play(tmp_path, [1, 1, 1, 0.5], begin=30, patience=1,
                monitor='other_loss') is None


def test_a_missing_metric_is_named(tmp_path):
    hook = EarlyStopHook('val/loss')
    hook.before_train(runner_at(tmp_path))
    with pytest.raises(KeyError, match="got 'val/loss'. There are: a, b."):
        hook.after_val_epoch(runner_at(tmp_path), dict(b=1, a=2))


def test_tests_and_lone_validations_are_left_alone():
    hook = EarlyStopHook('val/loss')
    runner = object()
    hook.before_run(runner)
    hook.after_val_epoch(runner, dict(other=1))


@pytest.mark.parametrize('options, message', [
    (dict(patience=0), '`patience` of EarlyStopHook .* >= 1, got 0'),
    (dict(patience=1.5), '`patience` of EarlyStopHook .* got 1.5'),
    (dict(min_delta=-1), '`min_delta` of EarlyStopHook .* >= 0, got -1'),
    (dict(rule='best'), 'rule'),
])
def test_wrong_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopHook('val/loss', **options)


@MODELS.register_module(name='ConstantForEarlyStop', force=True)
class _Constant(BaseModel):
    """Its loss never changes."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, data_samples, mode='tensor'):
        if mode == 'loss':
            return dict(loss=1 + 0 * self.weight.sum())
        for sample in data_samples:
            sample.pred_instances = InstanceData(
                bboxes=torch.zeros(0, 4), scores=torch.zeros(0),
                labels=torch.zeros(0, dtype=torch.long),
                masks=torch.zeros((0, *sample.ori_shape), dtype=torch.bool))
        return data_samples


LOOPS = dict(
    iterations='''
train_cfg = dict(max_iters=9, val_interval=2)
''',
    epochs='''
train_cfg = dict(
    _delete_=True, type='EpochBasedTrainLoop', max_epochs=9, val_interval=2)
train_dataloader = dict(
    batch_size=2, sampler=dict(_delete_=True, type='SeededSampler'))
''')


@pytest.mark.parametrize('kind', LOOPS)
def test_both_loops_stop(tmp_path, repository, kind):
    generate_shapes(tmp_path / 'shapes', 2, 1, image_size=48)
    path = tmp_path / 'constant.py'
    path.write_text(f'''
_base_ = {str(repository / 'configs/_base_/quick_shapes.py')!r}
model = dict(type='ConstantForEarlyStop')
data_root = '{tmp_path}/shapes/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json', metric=['segm'])
test_evaluator = val_evaluator
default_hooks = dict(
    val_loss=dict(type='ValLossHook'),
    early_stopping=dict(
        type='EarlyStopHook', monitor='val/loss', patience=2))
''' + LOOPS[kind].replace('batch_size=2, ', 'batch_size=2, dataset=dict('
                          'data_root=data_root), '))
    runner = apis.train(
        apis.load_config(str(path), work_dir=str(tmp_path / 'work')))
    # The first validation is the best; two more do not improve.
    assert runner.iter == 6
    scores = json.loads((tmp_path / 'work/early_stopping.json').read_text())
    assert scores == {'val/loss': {'2': 1.0, '4': 1.0, '6': 1.0}}
