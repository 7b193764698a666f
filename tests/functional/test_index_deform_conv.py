"""Deformable index convolution against its parts and mmcv's dense one."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import deform_conv2d

from mmseghead.functional import sparse_grid as sps
from mmseghead.functional.index_conv import conv_taps, index_conv
from mmseghead.functional.index_deform_conv import (index_deform_conv,
                                                    sample_rows)

# Row-major taps of a 3x3 kernel.
TAPS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def make_grid(seed=0, num_rois=2, channels=4, size=(5, 6), share=.5):
    source = torch.Generator().manual_seed(seed)
    feats = torch.randn(num_rois, channels, *size, generator=source)
    mask = torch.rand(num_rois, *size, generator=source) < share
    return sps.masked_grid(feats.double(), mask)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 99), st.sampled_from([0, .5, 4]))
def test_equals_mmcv_on_the_dense_map(seed, spread):
    grid = make_grid(seed)
    torch.manual_seed(seed)
    weight, bias = torch.randn(3, 4, 3, 3), torch.randn(3)
    offsets = spread * torch.randn(2, 18, 5, 6)
    maps = deform_conv2d(
        sps.dense_view(grid).float().contiguous(), offsets, weight, 1, 1)
    expected = sps.gather_active(maps + bias[:, None, None], grid)
    steps = sps.gather_active(offsets, grid).view(-1, 9, 2)
    steps = steps + torch.tensor(TAPS)
    out = index_deform_conv(
        sps.with_features(grid, grid.active.float(), grid.passive.float()),
        steps, weight.permute(0, 2, 3, 1).flatten(1), bias)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)


def test_taps_in_place_equal_the_index_convolution():
    grid = make_grid(1)
    weight, bias = torch.randn(3, 4, 3, 3).double(), torch.randn(3).double()
    ids = sps.neighbor_ids(grid, conv_taps((2, )))
    expected = index_conv(grid.active, grid.passive, ids, weight, bias)
    steps = 2 * torch.tensor(TAPS).double().expand(grid.num_active, 9, 2)
    out = index_deform_conv(grid, steps,
                            weight.permute(0, 2, 3, 1).flatten(1), bias)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-13)


def test_gradcheck():
    grid = make_grid(2, 1, 2, (3, 4))
    torch.manual_seed(0)
    # Away from cells, where the gradient by the step jumps.
    steps = torch.randint(-3, 3, (grid.num_active, 2, 2)) + torch.rand(
        grid.num_active, 2, 2) * .6 + .2
    inputs = [
        grid.active, grid.passive,
        steps.double(),
        torch.randn(3, 4).double(),
        torch.randn(3).double()
    ]

    def function(active, passive, steps, weight, bias):
        rows = sps.with_features(grid, active, passive)
        return index_deform_conv(rows, steps, weight, bias)

    inputs = [value.clone().requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(function, inputs)


def test_rows_and_weights_of_one_sample():
    grid = sps.dense_grid(torch.zeros(2, 1, 3, 4))
    steps = torch.zeros(24, 1, 2)
    steps[12 + 5] = torch.tensor([.25, 1.5])  # RoI 1, y 1, x 1
    rows, weights = sample_rows(grid, steps)
    assert rows[17].tolist() == [12 + 6, 12 + 7, 12 + 10, 12 + 11]
    assert weights[17].tolist() == [.375, .375, .125, .125]
    steps[17] = torch.tensor([-1.5, 2.])  # half a row above the map
    rows, weights = sample_rows(grid, steps)
    assert rows[17].tolist() == [24, 24, 12 + 3, 24]
    assert weights[17].tolist() == [.5, 0, .5, 0]


@pytest.mark.parametrize('step', [1e9, -1e9])
def test_far_away_is_zero(step):
    grid = make_grid(3)
    steps = torch.full((grid.num_active, 9, 2), step)
    out = index_deform_conv(grid, steps, torch.ones(3, 36).double(),
                            torch.arange(3.).double())
    assert torch.equal(out, torch.arange(3.).double().expand_as(out))


@pytest.mark.parametrize('num_rois, share', [(0, 1), (2, 0)])
def test_empty(num_rois, share):
    grid = make_grid(4, num_rois, share=share)
    weight = torch.ones(3, 36).double().requires_grad_()
    out = index_deform_conv(grid, torch.zeros(0, 9, 2), weight,
                            torch.zeros(3).double())
    assert out.shape == (0, 3)
    out.sum().backward()
    assert (weight.grad == 0).all()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.half])
def test_autocast(dtype):
    grid = make_grid(5)
    grid = sps.with_features(grid, grid.active.float(), grid.passive.float())
    steps = torch.randn(grid.num_active, 9, 2, requires_grad=True)
    args = steps, torch.randn(3, 36), torch.randn(3)
    with torch.autocast('cpu', dtype):
        out = index_deform_conv(grid, *args)
    assert out.dtype == dtype
    F.mse_loss(out.float(), torch.zeros(out.shape)).backward()
    assert steps.grad.abs().sum() > 0
    expected = index_deform_conv(grid, *args)
    torch.testing.assert_close(out.float(), expected, rtol=.1, atol=.3)
