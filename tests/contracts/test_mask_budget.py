"""Every method's masks are the same however little memory they may take."""
import functools
import tracemalloc
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmseghead.functional.mask_rle import EncodedMasks, encode_mask
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules
from mmseghead.utils.mask_budget import mask_budget

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = [
    path for path in sorted(ROOT.glob('configs/*/*_quick_shapes.py'))
    # Variants share their parents' masks; some detectors have none.
    if "_base_ = './" not in path.read_text()
    and path.parent.name not in ('fcos', 'fcosreg')
]
IMG_SHAPE = (64, 96)


def names(path):
    return path.stem.replace('_quick_shapes', '')


each_method = pytest.mark.parametrize('path', CONFIGS, ids=names)


@functools.lru_cache(maxsize=1)
def model_config(path):
    register_all_modules(init_default_scope=False)
    return without_pretrained(Config.fromfile(path))


def build(path, **test_cfg):
    cfg = model_config(path)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model_cfg = cfg.model.copy()
    own = model_cfg.test_cfg.copy()
    (own.rcnn if 'rcnn' in own else own).update(test_cfg)
    model = MODELS.build(dict(model_cfg, test_cfg=own))
    model.init_weights()
    return model.eval()


def batch_of(ori_shape):
    batch = fake_batch([IMG_SHAPE, IMG_SHAPE], (0, 0), 6)
    for sample in batch['data_samples']:
        factors = [a / b for a, b in zip(IMG_SHAPE, ori_shape)]
        sample.set_metainfo(
            dict(ori_shape=ori_shape, scale_factor=tuple(factors[::-1])))
    return batch


@torch.no_grad()
def predict(model, ori_shape, mib):
    with mask_budget(mib):
        data = model.data_preprocessor(batch_of(ori_shape), False)
        return [
            sample.pred_instances for sample in model(**data, mode='predict')
        ]


def assert_same(bounded, free):
    assert isinstance(free.masks, torch.Tensor)
    assert free.masks.dtype == torch.bool
    assert bounded.masks.shape == free.masks.shape
    for name in ('scores', 'labels', 'bboxes'):
        assert torch.equal(bounded[name], free[name]), name
    if len(free):
        assert isinstance(bounded.masks, EncodedMasks)
        assert torch.equal(bounded.masks.to_tensor(), free.masks)
        # Byte for byte what the metric would make of the tensor.
        assert list(bounded.masks) == [encode_mask(m) for m in free.masks]


@each_method
@pytest.mark.parametrize('ori_shape', [IMG_SHAPE, (45, 130), (301, 77)])
def test_bounded_masks_equal_unbounded_ones(path, ori_shape):
    model = build(path, score_thr=0., **few(path))
    free = predict(model, ori_shape, None)
    counts = [len(found) for found in free]
    assert min(counts) > 1 and any(found.masks.any() for found in free)
    # Always encoded one by one; and by twos or threes of the small size.
    for mib in (0, 0.3):
        for found, wanted in zip(predict(model, ori_shape, mib), free):
            if mib == 0:
                assert_same(found, wanted)
            assert torch.equal(torch.as_tensor(found.masks.numpy()),
                               wanted.masks)


@each_method
def test_one_instance(path):
    model = build(path, score_thr=0., **few(path, 1))
    free = predict(model, (45, 130), None)
    assert [len(found) for found in free] == [1, 1]
    for found, wanted in zip(predict(model, (45, 130), 0), free):
        assert_same(found, wanted)


@each_method
def test_no_instance(path):
    model = build(path, score_thr=1.1)
    for mib in (None, 0):
        for found in predict(model, (45, 130), mib):
            assert len(found) == 0
            assert found.masks.shape == (0, 45, 130)
            assert found.masks.dtype == torch.bool


@each_method
def test_memory_stays_below_the_budget(path):
    """All live memory together, and all masks would not fit."""
    ori_shape, mib = (1000, 1400), 64
    model = build(path, score_thr=0., **few(path, 100))
    count = min(len(found) for found in predict(model, (20, 28), None))
    too_much = count * ori_shape[0] * ori_shape[1] / 2**20
    if not path.stem.startswith('spatial'):
        assert too_much > mib
    small = peak_mib(lambda: predict(model, (20, 28), mib))
    large = peak_mib(lambda: predict(model, ori_shape, mib))
    assert large < max(small, mib), f'{count} instances, {too_much:.0f} MiB'


def few(path, number=9):
    """Return the setting that limits the number of instances."""
    return dict(max_per_img=number)


def peak_mib(function):
    """Return the most that torch and NumPy held at once, in MiB."""
    tracemalloc.start()
    with torch.profiler.profile(profile_memory=True) as profile:
        function()
    arrays = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    held = most = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == '[memory]':
            held += event.nbytes()
            most = max(most, held)
    return (most + arrays) / 2**20
