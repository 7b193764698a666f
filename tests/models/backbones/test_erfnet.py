"""ERFNet's layers, parameters and shapes."""
import pytest
import torch
from torch import nn

from mmseghead.models.backbones import ERFNet
from mmseghead.models.layers import (ERFNetDecoder, ERFNetDownsampler,
                                     NonBottleneck1D)


def parameters(module):
    return sum(p.numel() for p in module.parameters())


def test_published_parameters():
    assert parameters(ERFNet()) == 1_874_044
    for channels, number in ((3, 189_107), (4, 189_172), (1, 188_977),
                             (8, 189_432)):
        assert parameters(ERFNetDecoder(channels)) == number


def test_shapes():
    x = torch.randn(2, 3, 24, 40)
    features = ERFNet()(x)
    assert [f.shape for f in features] == [(2, 128, 3, 5)]
    assert ERFNetDecoder(6)(features).shape == (2, 6, 24, 40)


def test_layers_are_the_published_ones():
    net = ERFNet()
    blocks = [m for m in net.modules() if isinstance(m, NonBottleneck1D)]
    assert [b.conv2_v.dilation for b in blocks] == [(1, 1)] * 5 + [
        (2, 1), (4, 1), (8, 1), (16, 1)] * 2
    assert [b.conv2_h.dilation for b in blocks[5:9]] == [
        (1, 2), (1, 4), (1, 8), (1, 16)]
    assert all(b.conv1_v.dilation == (1, 1) for b in blocks)
    assert [b.dropout.p for b in blocks] == [.03] * 5 + [.3] * 8
    downs = [m for m in net.modules() if isinstance(m, ERFNetDownsampler)]
    assert [d.conv.out_channels for d in downs] == [13, 48, 64]
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(n.eps, n.momentum) for n in norms} == {(1e-3, .1)}


def test_block_equals_its_formula():
    torch.manual_seed(0)
    block = NonBottleneck1D(6, .5, 3).eval()
    x = torch.randn(2, 6, 9, 11)
    relu = torch.relu
    out = relu(block.bn1(block.conv1_h(relu(block.conv1_v(x)))))
    out = block.bn2(block.conv2_h(relu(block.conv2_v(out))))
    torch.testing.assert_close(block(x), relu(x + out))
    assert block(x).shape == x.shape


def test_every_parameter_learns():
    net, decoder = ERFNet().train(), ERFNetDecoder(3).train()
    decoder(net(torch.randn(2, 3, 16, 24))).square().sum().backward()
    for module in (net, decoder):
        for name, p in module.named_parameters():
            assert p.grad is not None, name


def test_other_sizes_are_named():
    with pytest.raises(ValueError, match='pad_size_divisor=8'):
        ERFNet()(torch.zeros(1, 3, 16, 20))


@pytest.mark.parametrize('build', [ERFNet, lambda **kw: ERFNetDecoder(2, **kw)
                                   ])
def test_fixed_statistics(build):
    for norm_eval in (False, True):
        module = build(norm_eval=norm_eval).train()
        modes = {
            m.training
            for m in module.modules() if isinstance(m, nn.BatchNorm2d)
        }
        assert modes == {not norm_eval}
        assert module.training
