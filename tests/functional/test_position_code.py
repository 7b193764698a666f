"""Sine codes of positions."""
import math

import pytest
import torch

from mmseghead.functional.position_code import sine_position_code


@pytest.mark.parametrize('size, channels', [(1, 4), (5, 12), (14, 256)])
def test_equals_a_loop(size, channels):
    got = sine_position_code(size, channels)
    assert got.shape == (channels, size, size)
    waves = channels // 4
    for y in range(size):
        for x in range(size):
            for j in range(waves):
                power = 10000**(j / waves)
                a = 2 * math.pi * (x + .5) / size / power
                b = 2 * math.pi * (y + .5) / size / power
                want = [math.sin(a), math.cos(a), math.sin(b), math.cos(b)]
                assert got[j::waves, y, x].tolist() == pytest.approx(
                    want, abs=1e-6)


def test_every_cell_has_its_own_code():
    codes = sine_position_code(7, 8).flatten(1).t()
    distances = torch.cdist(codes, codes) + torch.eye(49) * 9
    assert distances.min() > 0.1


@pytest.mark.parametrize('channels', [0, 6, -4])
def test_channels_come_in_fours(channels):
    with pytest.raises(ValueError, match='multiple of 4'):
        sine_position_code(3, channels)
