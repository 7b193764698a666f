"""The decoder from a pyramid to full resolution."""
import pytest
import torch

from mmseghead.models.layers import PyramidDecoder


@pytest.mark.parametrize('strides', [(2, 4), (4, 8, 16), (8, ), (1, 2)])
def test_full_resolution(strides):
    decoder = PyramidDecoder(5, in_channels=6, strides=strides, channels=32)
    x = [torch.randn(2, 6, 48 // s, 80 // s) for s in strides]
    out = decoder([*x, torch.zeros(2, 6, 1, 1)])  # coarser levels are left
    assert out.shape == (2, 5, 48, 80)
    out.square().sum().backward()
    for name, p in decoder.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name


def test_odd_coarse_levels():
    decoder = PyramidDecoder(3, in_channels=4, strides=(4, 8), channels=16)
    x = [torch.randn(1, 4, 7, 9), torch.randn(1, 4, 4, 5)]
    assert decoder(x).shape == (1, 3, 28, 36)


@pytest.mark.parametrize('strides', [(3, 6), (), (0, 2)])
def test_bad_strides(strides):
    with pytest.raises(ValueError, match='`strides` of PyramidDecoder'):
        PyramidDecoder(3, strides=strides)
