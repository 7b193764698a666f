"""What every method must do, on its quick config with made-up images."""
import functools
import re
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmseghead import ops
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[2]
# One data set a method: the other differs in the number of classes only.
QUICK = sorted(ROOT.glob('configs/*/*_quick_shapes.py'))
# A variant of another quick config shares its parts: fewer tests.
CONFIGS = [path for path in QUICK if "_base_ = './" not in path.read_text()]
NUM_CLASSES = 6
SHAPES = [(64, 96), (64, 96)]
# mmdet's YOLACT head stacks per-image targets of unpadded sizes.
ONE_SIZE_ONLY = ('yolact', )


@functools.lru_cache(maxsize=2)
def model_config(path):
    register_all_modules(init_default_scope=False)
    return without_pretrained(Config.fromfile(path))


def build(path, **changes):
    cfg = model_config(path)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model_cfg = cfg.model.copy()
    model_cfg.update(changes)
    model = MODELS.build(model_cfg)
    model.init_weights()
    return model


def losses_of(model, batch):
    data = model.data_preprocessor(batch, True)
    total, log = model.parse_losses(model(**data, mode='loss'))
    return total, log


def predict(model, batch):
    model.eval()
    data = model.data_preprocessor(batch, False)
    with torch.no_grad():
        return model(**data, mode='predict')


def predicts_masks(path):
    """A detector may learn from masks and predict boxes only."""
    return 'segm' in model_config(path).val_evaluator.metric


def names(path):
    return path.stem.replace('_quick_shapes', '')


each_method = pytest.mark.parametrize('path', CONFIGS, ids=names)
each_variant = pytest.mark.parametrize('path', QUICK, ids=names)


def test_every_method_has_both_quick_configs_and_a_coco_config():
    for folder in sorted(ROOT.glob('configs/*/')):
        if folder.name.startswith('_'):
            continue
        for pattern in ('*_quick_shapes.py', '*_quick_nuclei.py', '*_coco.py'):
            assert list(folder.glob(pattern)), f'{folder.name}: {pattern}'


@each_variant
def test_variants_learn_and_predict(path):
    model = build(path).train()
    total, log = losses_of(model, fake_batch(SHAPES, (3, 5), NUM_CLASSES))
    assert torch.isfinite(total), log
    sample, = predict(model, fake_batch(SHAPES[:1], (0, ), NUM_CLASSES))
    assert ('masks' in sample.pred_instances) == predicts_masks(path)


@each_method
@pytest.mark.parametrize('counts', [(0, 0), (0, 1), (7, 0), (3, 5)])
def test_losses_are_finite(path, counts):
    model = build(path).train()
    total, log = losses_of(model, fake_batch(SHAPES, counts, NUM_CLASSES))
    assert torch.isfinite(total), log
    total.backward()
    finite = [
        torch.isfinite(p.grad).all() for p in model.parameters()
        if p.grad is not None
    ]
    assert finite and all(finite)


@each_method
def test_every_trainable_parameter_learns(path):
    model = build(path).train()
    for p in model.parameters():
        # A layer that begins at zero hides those before it.
        if p.requires_grad and not p.any():
            torch.nn.init.normal_(p, std=1e-3)
    touched = set()
    for seed in range(3):  # a random sampler may skip a head once
        model.zero_grad()
        total, _ = losses_of(
            model, fake_batch(SHAPES, (6, 4), NUM_CLASSES, seed))
        total.backward()
        touched |= {
            name
            for name, p in model.named_parameters()
            if p.grad is not None and p.grad.abs().sum() > 0
        }
    trainable = {n for n, p in model.named_parameters() if p.requires_grad}
    # A level without objects gets no gradient: that is data, not wiring.
    per_level = re.compile(r'(conv_mask_list|fpn_convs|scales)\.\d')
    untouched = {n for n in trainable - touched if not per_level.search(n)}
    assert not untouched


@each_method
def test_uneven_batch(path):
    if names(path) in ONE_SIZE_ONLY:
        pytest.skip('mmdet: one image size a batch; its config pads')
    model = build(path).train()
    batch = fake_batch([(64, 96), (80, 48)], (2, 3), NUM_CLASSES)
    total, log = losses_of(model, batch)
    assert torch.isfinite(total), log


@each_method
def test_predictions_have_the_common_form(path):
    model = build(path)
    shapes = [(64, 96), (64, 96)]
    for sample, shape in zip(
            predict(model, fake_batch(shapes, (0, 0), NUM_CLASSES)), shapes):
        found = sample.pred_instances
        number = len(found)
        assert ('masks' in found) == predicts_masks(path)
        if predicts_masks(path):
            assert found.masks.shape == (number, *shape)
            assert found.masks.dtype == torch.bool
        assert found.bboxes.shape == (number, 4)
        assert found.scores.shape == found.labels.shape == (number, )
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        assert ((found.labels >= 0) & (found.labels < NUM_CLASSES)).all()


@each_method
def test_nothing_found(path):
    cfg = model_config(path).model
    test_cfg = cfg.test_cfg.copy()
    (test_cfg.rcnn if 'rcnn' in test_cfg else test_cfg).score_thr = 1.1
    model = build(path, test_cfg=test_cfg)
    sample, = predict(model, fake_batch([(64, 96)], (0, ), NUM_CLASSES))
    assert len(sample.pred_instances) == 0
    if predicts_masks(path):
        assert sample.pred_instances.masks.shape == (0, 64, 96)


@pytest.fixture
def torch_ops():
    """What --amp does on a CPU: mmcv's compiled operators know float32."""
    before = ops.backend()
    ops.install('torch')
    yield
    ops.install(before)


@each_method
def test_bfloat16_autocast(path, torch_ops):
    model = build(path).train()
    batch = fake_batch(SHAPES, (3, 2), NUM_CLASSES)
    with torch.autocast('cpu', torch.bfloat16):
        total, log = losses_of(model, batch)
    assert torch.isfinite(total), log


@each_method
def test_state_dict_round_trip(path):
    first, second = build(path), build(path)
    with torch.no_grad():
        for value in second.state_dict().values():
            value.zero_()
    result = second.load_state_dict(first.state_dict())
    assert not result.missing_keys and not result.unexpected_keys
    batch = fake_batch([(64, 96)], (0, ), NUM_CLASSES)
    a, = predict(first, batch)
    b, = predict(second, batch)
    assert torch.equal(a.pred_instances.scores, b.pred_instances.scores)
    if predicts_masks(path):
        assert torch.equal(a.pred_instances.masks, b.pred_instances.masks)
