"""Layers on sparse grids: parity with dense nets, costs, edges."""
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmseghead.apis.cost import FlopCounter
from mmseghead.functional import sparse_grid as sps
from mmseghead.registry import MODELS

KINDS = ['SparseSFM', 'DenseSFM', 'SparseMLP', 'SparseConv',
         'SparseDeformConv']


def build(kind, channels=6, **options):
    torch.manual_seed(3)
    return MODELS.build(dict(type=kind, channels=channels, **options))


def make_grid(num_rois=3, share=.5, channels=6, dtype=torch.float):
    torch.manual_seed(0)
    feats = torch.randn(num_rois, channels, 5, 7).to(dtype)
    mask = torch.rand(num_rois, 5, 7) < share
    images = torch.arange(num_rois)
    return sps.upsample_grid(sps.masked_grid(feats, mask, images))


def count(layer):
    return sum(value.numel() for value in layer.parameters())


@pytest.mark.parametrize('channels, expected', [(128, 492288), (64, 123264),
                                                (32, 30912)])
def test_parameters_of_the_paper(channels, expected):
    assert count(build('SparseSFM', channels)) == expected
    assert count(build('DenseSFM', channels)) == expected


@pytest.mark.parametrize('kind, units', [('SparseSFM', 30), ('SparseMLP', 9),
                                         ('SparseConv', 17)])
def test_multiplications_per_row(kind, units):
    """Units of channels squared that explain the costs of table 5."""
    layer = build(kind, 32)
    weights = sum(value.numel() for name, value in layer.named_parameters()
                  if value.ndim > 1 and 'bias' not in name)
    assert weights == units * 32**2


@pytest.mark.parametrize('kind, units', [('SparseSFM', 30), ('SparseMLP', 9),
                                         ('SparseConv', 17)])
def test_operations_are_counted(kind, units):
    layer, grid = build(kind, 32), make_grid(channels=32)
    expected = units * 32**2 * grid.num_active
    with FlopCounter() as counter, torch.no_grad():
        layer(grid)
    assert sum(counter.flops.values()) == expected
    with FlopCounterMode(display=False) as counter:
        layer(grid)
    assert counter.get_total_flops() == 2 * expected


def test_initialised_as_torch_does():
    conv = MODELS.build(
        dict(type='IndexConv2d', in_channels=16, out_channels=24))
    torch.manual_seed(5)
    conv.reset_parameters()
    bound = 1 / (9 * 16)**.5
    for value in conv.parameters():
        assert value.abs().max() <= bound
        assert value.abs().max() > .8 * bound
    torch.manual_seed(5)
    expected = nn.Conv2d(16, 24, 3)
    assert torch.equal(conv.weight[0], expected.weight)
    assert torch.equal(conv.bias[0], expected.bias)


@pytest.mark.parametrize('share', [0, .2, .7, 1])
@pytest.mark.parametrize('dilations', [(1, 3, 5), (2, ), (1, 4)])
def test_sparse_equals_dense_with_its_gradients(share, dilations):
    grads, feats = [], []
    for kind in ('SparseSFM', 'DenseSFM'):
        layer = build(kind, dilations=dilations).double()
        grid = make_grid(share=share, dtype=torch.double)
        inputs = [x.requires_grad_() for x in (grid.active, grid.passive)]
        out = layer(sps.with_features(grid, *inputs)).active
        (out * torch.arange(out.numel()).view_as(out).cos()).sum().backward()
        feats.append(out)
        values = [*inputs, *layer.parameters()]
        # No row is passive: no way leads there from a dense net.
        grads.append([
            torch.zeros_like(x) if x.grad is None else x.grad for x in values
        ])
    torch.testing.assert_close(*feats, rtol=0, atol=1e-13)
    for ours, expected in zip(*grads):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-11)


def test_all_active_equals_a_dense_net_written_out():
    feats = torch.randn(2, 6, 5, 8).double()
    layer = build('DenseSFM').double()
    x = feats.permute(0, 2, 3, 1)
    x = layer.reduce(x).relu().permute(0, 3, 1, 2)
    x = sum(
        F.conv2d(x, weight, bias, padding=d, dilation=d).relu()
        for weight, bias, d in zip(layer.conv.weight, layer.conv.bias,
                                   (1, 3, 5)))
    x = layer.fuse[2](layer.fuse[0](x.permute(0, 2, 3, 1)).relu()).relu()
    expected = x.permute(0, 3, 1, 2)
    grid = layer(sps.dense_grid(feats))
    for out in (sps.dense_view(grid), layer.forward_dense(feats)):
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-14)


def test_one_branch_has_no_activation_and_several_have():
    grid = make_grid()
    for dilations in ((1, ), (1, 2)):
        conv = MODELS.build(
            dict(
                type='IndexConv2d',
                in_channels=6,
                out_channels=9,
                dilations=dilations))
        out = conv(grid)
        assert out.shape == (grid.num_active, 9)
        assert (out < 0).any() == (len(dilations) == 1)
        expected = sps.gather_active(
            conv.forward_dense(sps.dense_view(grid)), grid)
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-5)


def test_deform_starts_as_conv_and_learns_offsets():
    conv, deform = build('SparseConv'), build('SparseDeformConv')
    deform.load_state_dict(conv.state_dict(), strict=False)
    grid = make_grid()
    torch.testing.assert_close(
        deform(grid).active, conv(grid).active, rtol=0, atol=1e-5)
    nn.init.uniform_(deform.offset.bias, .1, .9)
    out = deform(grid).active
    assert not torch.allclose(out, conv(grid).active, atol=1e-3)
    out.square().sum().backward()
    assert deform.offset.weight.grad.abs().sum() > 0


@pytest.mark.parametrize('kind', KINDS)
def test_passive_rows_stay(kind):
    grid = make_grid()
    out = build(kind)(grid)
    assert out.passive is grid.passive and out.index is grid.index
    assert out.active.shape == grid.active.shape


@pytest.mark.parametrize('kind', KINDS)
def test_only_the_mlp_sees_no_neighbor(kind):
    grid, layer = make_grid(), build(kind)
    moved = sps.with_features(grid, grid.active, grid.passive + 1)
    same = torch.equal(layer(grid).active, layer(moved).active)
    assert same == (kind == 'SparseMLP')


@pytest.mark.parametrize('kind', KINDS)
def test_permuted_rois_give_permuted_results(kind):
    torch.manual_seed(0)
    layer = build(kind).double()
    feats, mask = torch.randn(4, 6, 5, 7).double(), torch.rand(4, 5, 7) < .5
    order = torch.tensor([2, 0, 3, 1])
    first = sps.dense_view(layer(sps.masked_grid(feats, mask)))
    second = sps.dense_view(
        layer(sps.masked_grid(feats[order], mask[order])))
    torch.testing.assert_close(first[order], second, rtol=0, atol=1e-14)


@pytest.mark.parametrize('num_rois, share', [(0, 1), (2, 0), (1, 1)])
@pytest.mark.parametrize('kind', KINDS)
def test_empty_and_full(kind, num_rois, share):
    layer, grid = build(kind), make_grid(num_rois, share)
    out = layer(grid)
    assert out.num_active == grid.num_active
    out.active.sum().backward()
    # Distributed training waits for the gradient of every parameter.
    assert all(value.grad is not None for value in layer.parameters())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.half])
@pytest.mark.parametrize('kind', KINDS)
def test_autocast(kind, dtype):
    layer, grid = build(kind), make_grid()
    with torch.autocast('cpu', dtype):
        out = layer(grid).active
    expected = layer(grid).active
    torch.testing.assert_close(out.float(), expected, rtol=.1, atol=.1)
    out.float().sum().backward()
    assert all(value.grad.isfinite().all() for value in layer.parameters())


@pytest.mark.parametrize(
    'options, message',
    [(dict(dilations=()), '`dilations`'), (dict(dilations=(1, 0)), 'got'),
     (dict(dilations=(1.5, )), '`dilations` of IndexConv2d'),
     (dict(backend='cuda'), "`backend`.*'torch', 'triton'")])
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        build('SparseSFM', **options)
