"""Every method's masks are the same however little memory they may take."""
import contextlib
import functools
import tracemalloc
from pathlib import Path

import pytest
import torch
from mmdet.structures.mask import encode_mask_results
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmseghead.apis.fixed_instances import fixed_instances
from mmseghead.functional.mask_rle import EncodedMasks, to_rles
from mmseghead.testing import fake_batch, make_eager, without_pretrained
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
    part = own.rcnn if 'rcnn' in own else own
    part.update(test_cfg)
    if names(path) == 'spatial-embedding':  # many small clusters
        part.update(phi_thr=0.99, min_pixels=2)
    if 'mask_thr_binary' in part:
        part.mask_thr_binary = 0.2
    model = MODELS.build(dict(model_cfg, test_cfg=own))
    model.init_weights()
    make_eager(model)
    return model.eval()


def batch_of(ori_shape):
    batch = fake_batch([IMG_SHAPE], (0, ), 6)
    factors = [a / b for a, b in zip(IMG_SHAPE, ori_shape)]
    batch['data_samples'][0].set_metainfo(
        dict(ori_shape=ori_shape, scale_factor=tuple(factors[::-1])))
    return batch


@torch.no_grad()
def predict(model, ori_shape, mib, instances=None):
    with contextlib.ExitStack() as stack:
        stack.enter_context(mask_budget(mib))
        if instances is not None:
            # Random boxes are tiny: have some of all sizes.
            stack.enter_context(
                fixed_instances(model, 20, instances, IMG_SHAPE))
        data = model.data_preprocessor(batch_of(ori_shape), False)
        sample, = model(**data, mode='predict')
        return sample.pred_instances


def assert_same(bounded, free):
    assert isinstance(free.masks, torch.Tensor)
    assert free.masks.dtype == torch.bool
    assert bounded.masks.shape == free.masks.shape
    for name in ('scores', 'labels', 'bboxes'):
        assert torch.equal(bounded[name], free[name]), name
    masks = torch.as_tensor(bounded.masks.numpy())
    assert torch.equal(masks, free.masks)
    # Byte for byte what the metric would make of the tensor.
    assert to_rles(bounded.masks) == encode_mask_results(free.masks.numpy())


@each_method
@pytest.mark.parametrize('ori_shape', [IMG_SHAPE, (45, 130), (301, 77)])
def test_bounded_masks_equal_unbounded_ones(path, ori_shape):
    model = build(path, score_thr=0., max_per_img=9)
    free = predict(model, ori_shape, None, 9)
    assert len(free) > 1
    # Neither all false nor all true, so that wrong pixels would show.
    shares = free.masks.float().mean((1, 2))
    assert ((shares > 0.002) & (shares < 0.9)).any()
    # Always encoded, one by one; and where it fits, a few at a time.
    for mib in (0, 0.3):
        found = predict(model, ori_shape, mib, 9)
        assert isinstance(found.masks, EncodedMasks) or mib
        assert_same(found, free)


@each_method
def test_one_instance(path):
    model = build(path, score_thr=0., max_per_img=1)
    free = predict(model, (45, 130), None, 1)
    assert len(free) == 1
    assert_same(predict(model, (45, 130), 0, 1), free)


@each_method
def test_no_instance(path):
    model = build(path, score_thr=1.1)
    for mib in (None, 0):
        found = predict(model, (45, 130), mib)
        assert len(found) == 0
        assert found.masks.shape == (0, 45, 130)
        assert found.masks.dtype == torch.bool


@each_method
def test_memory_stays_below_the_budget(path):
    """All live memory together, and all masks would not fit."""
    ori_shape, mib = (1400, 2000), 64
    model = build(path, score_thr=0., max_per_img=100)
    count = len(predict(model, (20, 28), None, 100))
    too_much = count * ori_shape[0] * ori_shape[1] / 2**20
    assert too_much > mib + 5
    network = peak_mib(lambda: predict(model, (20, 28), mib, 100))
    both = peak_mib(lambda: predict(model, ori_shape, mib, 100))
    assert both < network + mib, f'{count} masks of {too_much:.0f} MiB'


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
