"""The validation loss is right, and measuring it changes nothing."""
import copy
import json
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from mmseghead import apis
from mmseghead.datasets import generate_shapes
from mmseghead.datasets.frozen_draws import FrozenDraws
from mmseghead.engine.hooks import ValLossHook
from mmseghead.engine.hooks.val_loss_hook import (loss_dataset_config,
                                                  measuring, own_draws)
from mmseghead.registry import MODELS
from mmseghead.testing import find_nothing
from mmseghead.utils import register_all_modules


@MODELS.register_module(name='ToyForValLoss', force=True)
class _Toy(BaseModel):
    """Has all that a measurement could disturb: norm, dropout, draws."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.frozen = nn.BatchNorm2d(4)
        self.dropout = nn.Dropout(0.5)
        self.register_buffer('steps', torch.zeros(1))
        self.modes = []

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, inputs, data_samples, mode='tensor'):
        if mode == 'predict':
            return [find_nothing(sample) for sample in data_samples]
        self.steps = self.steps + 1  # a new tensor in the buffer's place
        self.modes.append((self.training, self.norm.training,
                           self.dropout.training))
        x = torch.stack([image.float()[:, :40, :40] / 255
                         for image in inputs])
        x = self.dropout(self.frozen(self.norm(self.conv(x))))
        counts = torch.tensor([float(len(s.gt_instances))
                               for s in data_samples])
        drawn = torch.rand(()) + np.random.rand() + random.random()
        return dict(
            loss_a=x.square().mean() * drawn,
            loss_b=[counts.mean(), x.mean()],
            acc=counts.sum())


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    generate_shapes(folder, 4, 3, image_size=48)
    return folder


@pytest.fixture
def config(data_root, repository, tmp_path):
    """The quick recipe around the toy; nothing is seeded by step."""
    path = tmp_path / 'toy.py'
    path.write_text(f'''
_base_ = {str(repository / 'configs/_base_/quick_shapes.py')!r}
model = dict(type='ToyForValLoss')
data_root = '{data_root}/'
train_cfg = dict(max_iters=4, val_interval=2)
train_dataloader = dict(
    batch_size=2, sampler=dict(_delete_=True, type='InfiniteSampler'),
    dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json', metric=['segm'])
test_evaluator = val_evaluator
custom_hooks = []
default_hooks = dict(
    logger=dict(interval=1),
    checkpoint=dict(by_epoch=False, interval=2))
''')
    register_all_modules()
    return apis.load_config(str(path))


def runner_of(config):
    model = _Toy()
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    return SimpleNamespace(
        cfg=config, model=model, optim_wrapper=optimizer,
        build_dataloader=Runner.build_dataloader)


def states():
    return (random.getstate(), np.random.get_state()[1].tolist(),
            torch.get_rng_state().tolist())


def measure(config, runner=None, **options):
    runner = runner or runner_of(config)
    hook = ValLossHook(**options)
    hook.before_train(runner)
    metrics = {'coco/segm_mAP': 0.5}
    hook.after_val_epoch(runner, metrics)
    assert metrics.pop('coco/segm_mAP') == 0.5
    return metrics


def test_measuring_puts_modes_and_buffers_back():
    model = _Toy().train()
    model.conv.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    with measuring(model):
        assert model.training and model.conv.training
        assert not model.norm.training and not model.dropout.training
        model.norm.running_mean += 1
        model.steps = model.steps + 5
    assert [m.training for m in model.modules()] == modes
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    with pytest.raises(RuntimeError), measuring(model):
        model.norm.running_var += 1
        raise RuntimeError
    assert torch.equal(model.norm.running_var, before['norm.running_var'])


def test_own_draws_leave_no_trace():
    before = states()
    drawn = []
    for _ in range(2):
        with own_draws(7):
            drawn.append((random.random(), np.random.rand(),
                          torch.rand(1).item()))
    assert drawn[0] == drawn[1]
    assert states() == before


def test_losses_are_means_over_images(config):
    runner = runner_of(config)
    hook = ValLossHook(batch_size=2)
    hook.before_train(runner)
    metrics = {}
    hook.after_val_epoch(runner, metrics)
    assert set(metrics) == {'val/loss', 'val/loss_a', 'val/loss_b'}
    # Training mode, with norm and dropout as in a test; two batches.
    assert runner.model.modes == [(True, False, False)] * 2
    counts, means = [], []
    with measuring(runner.model), torch.no_grad():
        for batch in hook._loader:
            for image, sample in zip(batch['inputs'], batch['data_samples']):
                x = image.float()[None, :, :40, :40] / 255
                x = runner.model.frozen(
                    runner.model.norm(runner.model.conv(x)))
                counts.append(len(sample.gt_instances))
                means.append(x.mean().item())
    assert len(counts) == 3
    assert metrics['val/loss_b'] == pytest.approx(
        np.mean(counts) + np.mean(means), abs=1e-5)
    assert metrics['val/loss'] == pytest.approx(
        metrics['val/loss_a'] + metrics['val/loss_b'], abs=1e-5)


def test_measuring_twice_gives_the_same_and_draws_nothing(config):
    runner = runner_of(config)
    weights = {k: v.clone() for k, v in runner.model.state_dict().items()}
    before = states()
    first = measure(config, runner)
    assert states() == before
    torch.manual_seed(99)
    np.random.seed(99)
    assert measure(config, runner) == first
    assert measure(config, runner, seed=1) != first
    for key, value in runner.model.state_dict().items():
        assert torch.equal(value, weights[key])
    assert all(p.grad is None for p in runner.model.parameters())


def test_ground_truth_moves_with_the_image(config):
    hook = ValLossHook(max_images=2)
    hook.before_train(runner_of(config))
    samples = [s for b in hook._loader for s in b['data_samples']]
    assert [sample.img_id for sample in samples] == [1, 3]
    for sample in samples:
        # 48 px, enlarged by the pipeline.
        assert sample.img_shape != sample.ori_shape
        masks = sample.gt_instances.masks
        assert (masks.height, masks.width) == sample.img_shape
        assert sample.gt_instances.bboxes.tensor.max() > 48


def test_draws_of_a_sample_are_its_own():
    class Noise:

        def __len__(self):
            return 5

        def __getitem__(self, index):
            return index, random.random(), np.random.rand()

    frozen = FrozenDraws(Noise(), seed=3)
    first = [frozen[i] for i in range(5)]
    assert [frozen[i] for i in (4, 0, 2)] == [first[i] for i in (4, 0, 2)]
    assert len(set(first)) == 5
    some = FrozenDraws(Noise(), seed=3, indices=[4, 1])
    assert [some[i] for i in range(len(some))] == [first[4], first[1]]
    assert FrozenDraws(Noise(), seed=4)[0] != first[0]


def test_a_given_pipeline_is_used(config):
    pipeline = [*config.train_pipeline]
    pipeline = [step for step in pipeline if 'Flip' not in step['type']]
    derived = loss_dataset_config(config, pipeline)
    assert [s.type for s in derived.pipeline] == [s['type'] for s in pipeline]
    assert derived.test_mode is False
    assert derived.ann_file == config.val_dataloader.dataset.ann_file
    assert derived.filter_cfg == config.train_dataloader.dataset.filter_cfg
    assert config.val_dataloader.dataset.test_mode is True


def test_wrapped_training_sets(config):
    inner = config.train_dataloader.dataset
    config.train_dataloader.dataset = dict(
        type='RepeatDataset', times=2, dataset=inner)
    assert loss_dataset_config(config).pipeline == inner.pipeline
    config.train_dataloader.dataset = dict(
        type='mmdet.MultiImageMixDataset', dataset=inner,
        pipeline=[dict(type='mmdet.Mosaic')])
    with pytest.raises(ValueError, match='`pipeline` of ValLossHook must be '
                       'given .* mmdet.MultiImageMixDataset'):
        loss_dataset_config(config)
    assert loss_dataset_config(config, inner.pipeline)


def test_wrong_arguments_are_named(config):
    for name, value in dict(batch_size=0, num_workers=-1,
                            max_images=1.5).items():
        with pytest.raises(ValueError, match=f'`{name}` of ValLossHook'):
            ValLossHook(**{name: value})
    config.val_dataloader = None
    with pytest.raises(KeyError, match='needs `train_dataloader` and `val_'):
        ValLossHook().before_train(runner_of(config))


def trained(config, work_dir, *hooks):
    config = copy.deepcopy(config)
    config.work_dir = str(work_dir)
    config.custom_hooks = list(hooks)
    # A visualizer of the same name would write into the other run's folder.
    config.visualizer.name = str(work_dir)
    return apis.train(config)


def test_training_with_the_hook_equals_training_without(config, tmp_path):
    plain = trained(config, tmp_path / 'plain')
    config.default_hooks.checkpoint.update(save_best='val/loss')
    hooked = trained(config, tmp_path / 'hooked', dict(type='ValLossHook'))
    one, other = plain.model.state_dict(), hooked.model.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert other['steps'] == 4
    # Both validations logged it, and the better one was kept.
    (log, ) = (tmp_path / 'hooked').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [row['val/loss'] for row in rows if 'val/loss' in row]
    assert len(losses) == 2 and losses[0] != losses[1]
    best = 2 if losses[0] <= losses[1] else 4
    assert (tmp_path / f'hooked/best_val_loss_iter_{best}.pth').exists()
    assert 'coco/segm_mAP' in [row for row in rows if 'val/loss' in row][0]


@pytest.mark.slow
def test_a_real_model_trains_to_the_same_bits(tiny_config, tmp_path):
    options = {'train_cfg.max_epochs': 2, 'train_cfg.val_interval': 1}
    runs = {}
    for name, hook in (('plain', None), ('hooked', dict(type='ValLossHook'))):
        config = apis.load_config(
            str(tiny_config), work_dir=str(tmp_path / name),
            cfg_options=options)
        if hook:
            config.default_hooks.val_loss = hook
        runs[name] = apis.train(config)
    one, other = (run.model.state_dict() for run in runs.values())
    assert all(torch.equal(one[key], other[key]) for key in one)
    record = json.loads(
        (tmp_path / 'hooked/run_record_train.json').read_text())
    assert {'val/loss', 'val/loss_mask', 'val/loss_rpn_cls'} <= set(
        record['metrics'])
