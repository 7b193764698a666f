"""Index convolution against dense convolution, loops and gradcheck."""
import os

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional import index_conv as module
from mmseghead.functional import sparse_grid as sps
from mmseghead.functional.index_conv import conv_taps, index_conv


def make_case(dilations,
              share=.5,
              num_rois=3,
              channels=5,
              outputs=4,
              seed=0,
              size=(7, 9)):
    """Return a grid, ids, kernels and biases in double precision."""
    source = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(shape, generator=source).double()

    mask = torch.rand(num_rois, *size, generator=source) < share
    # Rows that several cells point at, and rows of their own.
    grid = sps.masked_grid(random(num_rois, channels, *size), mask)
    kept = torch.rand(grid.num_active, generator=source) < .5 + share / 2
    grid = sps.upsample_grid(sps.keep_rows(grid, kept))
    ids = sps.neighbor_ids(grid, conv_taps(dilations))
    branches = len(dilations)
    return (grid, ids, random(branches, outputs, channels, 3, 3),
            random(branches, outputs))


def dense_conv(grid, weight, bias, dilations, relu):
    """Convolve the dense view and read it at the active cells."""
    maps = sps.dense_view(grid)
    out = 0
    for kernel, offset, dilation in zip(weight, bias, dilations):
        branch = F.conv2d(
            maps, kernel, offset, padding=dilation, dilation=dilation)
        out = out + (branch.relu() if relu else branch)
    return sps.gather_active(out, grid)


def test_taps():
    taps = conv_taps((1, 3, 5))
    assert len(set(taps)) == len(taps) == 25
    assert taps[0] == (0, 0)
    assert taps[9:17] == ((-3, -3), (-3, 0), (-3, 3), (0, -3), (0, 3), (3, -3),
                          (3, 0), (3, 3))


@settings(deadline=None, max_examples=30)
@given(
    st.sampled_from([(1, ), (4, ), (2, 3), (1, 3, 5)]), st.booleans(),
    st.sampled_from([0, .2, .6, 1]), st.integers(0, 3), st.integers(0, 99))
def test_equals_dense_convolution(dilations, relu, share, num_rois, seed):
    grid, ids, weight, bias = make_case(
        dilations, share, num_rois, seed=seed)
    out = index_conv(grid.active, grid.passive, ids, weight, bias, relu=relu)
    expected = dense_conv(grid, weight, bias, dilations, relu)
    torch.testing.assert_close(out, expected, rtol=0, atol=2e-13)


def test_all_active_equals_dense_convolution_to_the_last_digits():
    feats = torch.randn(2, 5, 6, 8).double()
    grid = sps.dense_grid(feats)
    for dilation in (1, 3, 5):
        weight = torch.randn(3, 5, 3, 3).double() / 7
        ids = sps.neighbor_ids(grid, conv_taps((dilation, )))
        out = index_conv(grid.active, grid.passive, ids, weight)
        maps = F.conv2d(feats, weight, padding=dilation, dilation=dilation)
        expected = maps.permute(0, 2, 3, 1).flatten(0, 2)
        assert (out - expected).abs().max() < 1e-14


@pytest.mark.parametrize('relu', [False, True])
@pytest.mark.parametrize('dilations', [(2, ), (1, 3, 5)])
def test_gradcheck(dilations, relu, monkeypatch):
    # Several blocks, the last one shorter.
    monkeypatch.setattr(module, 'CPU_BLOCK', 250)
    grid, ids, weight, bias = make_case(
        dilations, .5, 1, channels=3, outputs=2, size=(2, 3))
    assert grid.num_active and grid.num_passive
    inputs = [
        value.clone().requires_grad_()
        for value in (grid.active, grid.passive, weight, bias)
    ]
    assert torch.autograd.gradcheck(
        lambda a, p, w, b: index_conv(a, p, ids, w, b, relu=relu), inputs)


def plain(active, passive, ids, weight, bias, relu):
    """Gather as a whole and multiply, with PyTorch's own gradient."""
    table = torch.cat([active, passive])
    table = torch.cat([table, table.new_zeros(1, table.shape[1])])
    out = 0
    for branch, (kernel, offset) in enumerate(zip(weight, bias)):
        columns = list(range(1 + 8 * branch, 9 + 8 * branch))
        columns.insert(4, 0)
        rows = table[ids[:, columns].long()].flatten(1)
        kernel = kernel.permute(0, 2, 3, 1).flatten(1)
        value = F.linear(rows, kernel, offset)
        out = out + (value.relu() if relu else value)
    return out


@pytest.mark.parametrize('relu', [False, True])
@pytest.mark.parametrize('block', [1, 3000, 1 << 21])
def test_gradient_of_any_ids_equals_the_plain_one(block, relu, monkeypatch):
    monkeypatch.setattr(module, 'CPU_BLOCK', block)
    grid, ids, weight, bias = make_case((1, 3, 5))
    # Not only ids that come from a grid.
    ids = ids[:, torch.randperm(25)]
    results = []
    for function in (index_conv, plain):
        inputs = [
            value.clone().requires_grad_()
            for value in (grid.active, grid.passive, weight, bias)
        ]
        active, passive, *parameters = inputs
        out = function(active, passive, ids, *parameters, relu=relu)
        (out * torch.arange(out.numel()).view_as(out).cos()).sum().backward()
        results.append([out] + [value.grad for value in inputs])
    for ours, expected in zip(*results):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_keeps_no_gathered_taps():
    grid, ids, weight, bias = make_case((1, 3, 5), channels=16, outputs=6)
    saved = {}

    def pack(value):
        saved[value.data_ptr()] = value.numel() * value.element_size()
        return value

    active, passive = (x.clone().requires_grad_()
                       for x in (grid.active, grid.passive))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        index_conv(
            active, passive, ids, weight.requires_grad_(), bias, relu=True)
    features = (active.numel() + passive.numel()) * 8
    signs = grid.num_active * 3 * 6
    allowed = features + 4 * ids.numel() + signs + 8 * weight.numel()
    allowed += 8 * bias.numel() * 2
    assert features < sum(saved.values()) <= allowed
    assert sum(saved.values()) < active.numel() * 9 * 8 / 2


def test_no_leak_between_rois():
    grid, ids, weight, bias = make_case((1, 3, 5))
    before = index_conv(grid.active, grid.passive, ids, weight, bias)
    own = grid.index[1].unique().long()
    table = torch.cat([grid.active, grid.passive])
    table[own] += 1
    after = index_conv(*table.tensor_split([grid.num_active]), ids, weight,
                       bias)
    is_other = grid.roi_inds != 1
    assert torch.equal(before[is_other], after[is_other])
    assert (before != after)[~is_other].all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.half])
def test_autocast(dtype):
    grid, ids, weight, bias = make_case((1, 3, 5))
    inputs = [
        value.float().requires_grad_()
        for value in (grid.active, grid.passive, weight, bias)
    ]
    active, passive, *parameters = inputs
    with torch.autocast('cpu', dtype):
        out = index_conv(active, passive, ids, *parameters, relu=True)
    assert out.dtype == dtype
    exact = index_conv(active, passive, ids, *parameters, relu=True)
    assert exact.dtype == torch.float32
    torch.testing.assert_close(out.float(), exact, rtol=.05, atol=.3)
    # The gradient runs outside of autocast, as in mmengine.
    out.float().sum().backward()
    grads = [value.grad.clone() for value in inputs]
    for value in inputs:
        value.grad = None
    exact.sum().backward()
    for value, grad in zip(inputs, grads):
        assert grad.dtype == torch.float32
        error = (grad - value.grad).norm() / value.grad.norm()
        assert error < .1


def test_autocast_leaves_double():
    grid, ids, weight, bias = make_case((1, ))
    with torch.autocast('cpu', torch.bfloat16):
        out = index_conv(grid.active, grid.passive, ids, weight, bias)
    assert out.dtype == torch.float64


@pytest.mark.parametrize('num_rois, share', [(0, 1), (2, 0), (1, 1)])
def test_empty_and_full(num_rois, share):
    grid, ids, weight, bias = make_case((1, 3, 5), share, num_rois)
    weight.requires_grad_()
    out = index_conv(grid.active, grid.passive, ids, weight, bias, relu=True)
    assert out.shape == (grid.num_active, 4)
    out.sum().backward()
    assert weight.grad.shape == weight.shape
    assert (weight.grad == 0).all() == (grid.num_active == 0)


def test_one_cell():
    grid = sps.dense_grid(torch.ones(1, 2, 1, 1))
    weight = torch.arange(18.).view(1, 1, 2, 3, 3)
    ids = sps.neighbor_ids(grid, conv_taps((1, )))
    out = index_conv(grid.active, grid.passive, ids, weight)
    assert out.tolist() == [[4 + 13]]


def test_errors():
    grid, ids, weight, bias = make_case((1, 3, 5))
    args = grid.active, grid.passive
    with pytest.raises(ValueError, match='`ids`.*25 taps for 3.*got 24'):
        index_conv(*args, ids[:, 1:], weight, bias)
    with pytest.raises(ValueError, match="`backend`.*got 'cuda'"):
        index_conv(*args, ids, weight, bias, backend='cuda')


# Triton: on a GPU, or with TRITON_INTERPRET=1 where Triton is installed.
INTERPRETED = os.environ.get('TRITON_INTERPRET') == '1'
needs_triton = pytest.mark.skipif(
    not (torch.cuda.is_available() or INTERPRETED),
    reason='needs a GPU, or Triton with TRITON_INTERPRET=1')


@needs_triton
@pytest.mark.gpu
@pytest.mark.parametrize('dtype, tolerance', [(torch.float, 1e-5),
                                              (torch.half, 2e-3)])
@pytest.mark.parametrize('dilations', [(2, ), (1, 3, 5)])
@pytest.mark.parametrize('channels, outputs', [(5, 7), (40, 70)])
def test_triton_equals_reference(channels, outputs, dilations, dtype,
                                 tolerance):
    pytest.importorskip('triton')
    from mmseghead.ops.index_conv_triton import convolve
    device = 'cpu' if INTERPRETED else 'cuda'
    for share in (0, .5, 1):
        # More rows than a tile has, not many: the interpreter is slow.
        grid, ids, weight, bias = make_case(
            dilations,
            share,
            num_rois=2,
            channels=channels,
            outputs=outputs,
            size=(4, 5))
        weight = weight.flatten(3).permute(0, 3, 2, 1)
        weight = weight[:, [module.CENTER, *module.RING]]
        inputs = [
            value.to(device, value.dtype if value is ids else dtype)
            for value in (grid.active, grid.passive, ids, weight, bias)
        ]
        for relu in (False, True):
            out, signs = convolve(*inputs, relu, True)
            exact = [x if x is inputs[2] else x.double() for x in inputs]
            expected, exact_signs = module._convolve(*exact, relu, True)
            scale = expected.abs().max() if expected.numel() else 1
            torch.testing.assert_close(
                out.double() / scale, expected / scale, rtol=0, atol=tolerance)
            assert (signs != exact_signs).sum() <= 1e-3 * signs.numel()
            assert convolve(*inputs, relu, False)[1].numel() == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
def test_backends_agree_on_gpu():
    pytest.importorskip('triton')
    grid, ids, weight, bias = make_case((1, 3, 5), channels=32, outputs=48)
    results = []
    for backend in module.BACKENDS:
        inputs = [
            value.float().cuda().requires_grad_()
            for value in (grid.active, grid.passive, weight, bias)
        ]
        out = index_conv(
            *inputs[:2], ids.cuda(), *inputs[2:], relu=True, backend=backend)
        out.square().sum().backward()
        results.append([out, *(value.grad for value in inputs)])
    for ours, expected in zip(*results):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-2)
