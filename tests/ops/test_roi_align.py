"""RoIAlign against slow loops, the compiled operators and gradcheck."""
import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmseghead.ops import roi_align as ops
from mmseghead.ops import roi_geometry


@pytest.fixture(params=['map', 'windows', 'chosen'])
def path(request, monkeypatch):
    """Force the products over the whole map, or over windows."""
    force_path(monkeypatch, request.param)
    return request.param


def force_path(patch, path):
    """Make cells of windows cost next to nothing, or far too much."""
    costs = dict(map=10**9, windows=-10**9)
    if path in costs:
        patch.setattr(ops, 'READ_COST', costs[path])
        patch.setattr(ops, 'ADD_COST', costs[path])


@st.composite
def cases(draw):
    """Feature map, RoIs of all kinds and the options of the operator."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    images, channels = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    height, width = draw(st.integers(1, 13)), draw(st.integers(1, 17))
    scale = draw(st.sampled_from([1., .5, .25, 1 / 3]))
    count = draw(st.integers(0, 9))
    size = np.array([width, height]) / scale
    start = rng.uniform(-.4, 1.1, (count, 2)) * size
    # No extent, less than a cell, some cells, more than the map.
    extent = rng.choice([0, .05, .4, 1.7], (count, 2)) * size
    extent *= rng.uniform(.5, 1, (count, 2))
    corners = np.concatenate([start, start + extent], 1)
    if draw(st.booleans()):
        corners = corners.round()
    image = rng.integers(0, images, (count, 1))
    rois = torch.from_numpy(np.concatenate([image, corners], 1)).float()
    feature = torch.from_numpy(
        rng.normal(size=(images, channels, height, width))).float()
    options = dict(
        aligned_height=draw(st.integers(1, 5)),
        aligned_width=draw(st.integers(1, 7)),
        spatial_scale=scale,
        sampling_ratio=draw(st.sampled_from([0, 1, 2, 3])),
        aligned=draw(st.booleans()))
    return feature, rois, options


def run(module, feature, rois, options, pool_mode=1, seed=0):
    """Return features, places and the gradient of a random projection."""
    shape = (len(rois), feature.shape[1], options['aligned_height'],
             options['aligned_width'])
    out = feature.new_zeros(shape)
    places = [feature.new_zeros(shape if pool_mode == 0 else 0)
              for _ in range(2)]
    module.roi_align_forward(
        feature, rois, out, *places, pool_mode=pool_mode, **options)
    generator = torch.Generator().manual_seed(seed)
    grad = torch.randn(shape, generator=generator).to(out)
    # Gradients are added, as several calls may share a buffer.
    grad_input = torch.ones_like(feature)
    module.roi_align_backward(
        grad, rois, *places, grad_input, pool_mode=pool_mode, **options)
    return out, *places, grad_input


def loop_roi_align(feature, rois, options, largest=False):
    """RoIAlign sample by sample, by the definition."""
    bins = options['aligned_height'], options['aligned_width']
    out = torch.zeros(len(rois), feature.shape[1], *bins).double()
    for n, (image, *corners) in enumerate(rois.double().tolist()):
        shift = .5 if options['aligned'] else 0
        x1, y1, x2, y2 = (
            v * options['spatial_scale'] - shift for v in corners)
        sides = [y2 - y1, x2 - x1]
        if not options['aligned']:
            sides = [max(1., side) for side in sides]
        grid = [
            options['sampling_ratio'] or math.ceil(side / count)
            for side, count in zip(sides, bins)
        ]
        for p, q in np.ndindex(*bins):
            samples = [
                read(feature[int(image)],
                     y1 + (p + (i + .5) / grid[0]) * sides[0] / bins[0],
                     x1 + (q + (j + .5) / grid[1]) * sides[1] / bins[1])
                for i, j in np.ndindex(*grid)
            ]
            if samples:
                samples = torch.stack(samples)
                out[n, :, p, q] = samples.amax(
                    0) if largest else samples.mean(0)
            elif largest:
                out[n, :, p, q] = -10000
    return out


def read(cells, y, x):
    """Value of the (C, H, W) map between cells."""
    height, width = cells.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return torch.zeros(len(cells)).double()
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    value = 0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            share = (1 - abs(y - row)) * (1 - abs(x - column))
            if share > 0:
                value = value + share * cells[:, row, column].double()
    return value


@settings(deadline=None, max_examples=40)
@given(cases(), st.sampled_from(['map', 'windows', 'max']))
@example((torch.arange(1., 10).view(1, 1, 9, 1),
          torch.tensor([[0, 0, -1.75, 0, -1.75]]),
          dict(aligned_height=3, aligned_width=1, spatial_scale=1.,
               sampling_ratio=2, aligned=False)), 'map')
def test_equals_loop(case, path):
    feature, rois, options = case
    # Quarters are exact, so that no sample lands on the other side of a
    # border because of rounding; where bins or samples cut them into thirds
    # and the like, a shift keeps those off the borders.
    parts = [options[name] for name in ('aligned_height', 'aligned_width',
                                        'sampling_ratio')]
    shift = 0 if {1, 2, 4}.issuperset(parts) else 5 / 512
    rois = rois.clone()
    rois[:, 1:] = (rois[:, 1:] * 4).round() / 4 + shift
    if options['spatial_scale'] == 1 / 3:
        options = {**options, 'spatial_scale': .5}
    with pytest.MonkeyPatch.context() as patch:
        force_path(patch, path)
        got = run(ops, feature.double(), rois.double(), options,
                  int(path != 'max'))[0]
    expected = loop_roi_align(feature, rois, options, path == 'max')
    torch.testing.assert_close(got, expected)


@settings(deadline=None, max_examples=150)
@given(cases(), st.sampled_from(['map', 'windows', 'chosen']))
def test_average_equals_compiled(compiled, case, path):
    with pytest.MonkeyPatch.context() as patch:
        force_path(patch, path)
        got = run(ops, *case)
    expected = run(compiled, *case)
    torch.testing.assert_close(got[0], expected[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(got[3], expected[3], rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(cases(), st.sampled_from(['map', 'windows']))
def test_average_equals_compiled_in_double(compiled, case, path):
    case = case[0].double(), case[1].double(), case[2]
    with pytest.MonkeyPatch.context() as patch:
        force_path(patch, path)
        got = run(ops, *case)
    expected = run(compiled, *case)
    torch.testing.assert_close(got[0], expected[0], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(got[3], expected[3], rtol=1e-12, atol=1e-12)


@settings(deadline=None, max_examples=100)
@given(cases(), st.booleans())
def test_max_equals_compiled(compiled, case, flat):
    if flat:  # every sample is equal: the first receives the gradient
        case[0].fill_(2)
    got, expected = run(ops, *case, 0), run(compiled, *case, 0)
    torch.testing.assert_close(got[:3], expected[:3], rtol=0, atol=0)
    torch.testing.assert_close(got[3], expected[3], rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(cases())
def test_small_batches_change_nothing(case):
    expected = run(ops, *case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(roi_geometry, 'CHUNK', 200)
        got = run(ops, *case)
    torch.testing.assert_close(got, expected)


def gradcheck(module, mode):
    """Check the gradient in double on few, unlike RoIs."""
    feature = torch.randn(
        2, 2, 4, 5, generator=torch.Generator().manual_seed(0)).double()
    rois = torch.tensor([[1, 1.3, -1.1, 9, 5], [0, 4, 4, 4, 4]]).double()
    assert torch.autograd.gradcheck(
        lambda x: module.roi_align(x, rois, (1, 2), .5, 0, mode, True),
        feature.requires_grad_())


def test_average_gradcheck_through_mmcv(torch_ops, path):
    gradcheck(torch_ops, 'avg')


def test_max_gradcheck_through_mmcv(torch_ops):
    gradcheck(torch_ops, 'max')


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('pool_mode', [0, 1])
def test_half_precision_rounds_the_single_result(dtype, pool_mode):
    generator = torch.Generator().manual_seed(3)
    feature = torch.randn(2, 3, 11, 14, generator=generator).to(dtype)
    rois = torch.tensor([[0, 1, 2, 9, 8], [1, 0, 0, 13, 5]]).to(dtype)
    options = dict(aligned_height=2, aligned_width=3, spatial_scale=1.,
                   sampling_ratio=0, aligned=True)
    single = run(ops, feature.float(), rois.float(), options, pool_mode)
    half = run(ops, feature, rois, options, pool_mode)
    assert half[0].dtype == half[3].dtype == dtype
    assert torch.equal(half[0], single[0].to(dtype))


def test_golden_average():
    feature = torch.arange(12.).view(1, 1, 3, 4)
    rois = torch.tensor([[0, .5, .5, 2.5, 2.5]])
    options = dict(aligned_height=1, aligned_width=2, spatial_scale=1.,
                   sampling_ratio=2, aligned=True)
    # Rows .5 and 1.5, columns .25 and .75, then 1.25 and 1.75.
    assert run(ops, feature, rois, options)[0].tolist() == [[[[4.5, 5.5]]]]


def test_aligned_roi_inside_out_is_refused():
    rois = torch.tensor([[0, 5., 1, 3, 4]])
    options = dict(aligned_height=2, aligned_width=3, spatial_scale=1.,
                   sampling_ratio=0, aligned=True)
    with pytest.raises(ValueError, match='x1 <= x2'):
        run(ops, torch.zeros(1, 2, 6, 7), rois, options)


def test_roi_that_is_not_finite_reads_nothing():
    rois = torch.tensor([[0, float('nan'), 1, 3, 4], [0, 1, 1, 3, 3]])
    options = dict(aligned_height=2, aligned_width=3, spatial_scale=1.,
                   sampling_ratio=0, aligned=True)
    out = run(ops, torch.ones(1, 2, 6, 7), rois, options)[0]
    assert (out[0] == 0).all() and (out[1] == 1).all()


def test_gradient_is_the_same_each_time(monkeypatch):
    force_path(monkeypatch, 'windows')
    generator = torch.Generator().manual_seed(4)
    corners = torch.rand(60, 2, generator=generator) * 30
    rois = torch.cat([torch.zeros(60, 1), corners, corners + 20], 1)
    options = dict(aligned_height=7, aligned_width=7, spatial_scale=1.,
                   sampling_ratio=0, aligned=True)
    feature = torch.randn(1, 8, 50, 60, generator=generator)
    grads = [run(ops, feature, rois, options)[3] for _ in range(3)]
    assert torch.equal(grads[0], grads[1])
    assert torch.equal(grads[0], grads[2])


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available(), reason='needs a CUDA device')
@pytest.mark.parametrize('pool_mode', [0, 1])
def test_gpu_equals_cpu(path, pool_mode):
    generator = torch.Generator().manual_seed(5)
    feature = torch.randn(2, 6, 40, 50, generator=generator)
    corners = torch.rand(30, 2, generator=generator) * 30
    sides = torch.rand(30, 2, generator=generator) * 25
    image = torch.randint(0, 2, (30, 1), generator=generator)
    rois = torch.cat([image, corners, corners + sides], 1)
    options = dict(aligned_height=3, aligned_width=5, spatial_scale=1.,
                   sampling_ratio=0, aligned=True)
    on_gpu = run(ops, feature.cuda(), rois.cuda(), options, pool_mode)
    on_cpu = run(ops, feature, rois, options, pool_mode)
    for got, expected in zip(on_gpu, on_cpu):
        torch.testing.assert_close(
            got.cpu(), expected, rtol=1e-3, atol=1e-3)
