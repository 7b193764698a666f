"""Coordinates, bandwidths and means over instances."""
import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from mmseghead.functional.spatial_embedding import (bandwidth_weights,
                                                    coordinate_map,
                                                    find_foreground,
                                                    instance_means, membership)


def test_the_reference_map():
    coordinates = coordinate_map(1024, 2048)
    x, y = torch.linspace(0, 2, 2048), torch.linspace(0, 1, 1024)
    torch.testing.assert_close(coordinates[0], x.expand(1024, 2048))
    torch.testing.assert_close(coordinates[1], y[:, None].expand(1024, 2048))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 90), st.integers(0, 70))
def test_the_scale_is_absolute(height, width):
    """A crop has the first rows and columns; a larger image goes on."""
    large = coordinate_map(97, 83)
    assert torch.equal(coordinate_map(height, width),
                       large[:, :height, :width])


def test_beyond_the_reference_map():
    coordinates = coordinate_map(3, 4096)
    assert coordinates[0, 0, -1].item() == pytest.approx(2 * 4095 / 2047)
    assert coordinates[1, 2, 0].item() == pytest.approx(2 / 1023)


@pytest.mark.parametrize('raw, weight, sigma, radius', [
    (.25, 12.18, .20259, 244.0), (.5, 148.41, .058043, 69.91),
    (.75, 1808.04, .016630, 20.03), (1., 22026.47, .0047644, 5.739),
    (1.25, 268337.3, .0013650, 1.644)
])
def test_published_bandwidths(raw, weight, sigma, radius):
    given = bandwidth_weights(torch.tensor([raw]))
    assert given.shape == (2, )
    assert given[0].item() == pytest.approx(weight, rel=5e-4)
    assert math.sqrt(1 / (2 * given[0])) == pytest.approx(sigma, rel=5e-5)
    assert math.sqrt(math.log(2) / given[0]) * 1023 == pytest.approx(
        radius, rel=2e-4)


@pytest.mark.parametrize('raw', [.3, .9, 1.2])
@pytest.mark.parametrize('degrees', [0, 33, 90, 217])
def test_half_at_the_radius_in_all_directions(raw, degrees):
    weights = bandwidth_weights(torch.tensor([raw]))
    radius = math.sqrt(math.log(2) / weights[0])
    angle = math.radians(degrees)
    point = torch.tensor([math.cos(angle), math.sin(angle)]) * radius
    assert membership(point, torch.zeros(2),
                      weights).item() == pytest.approx(.5, abs=1e-5)


def test_two_equal_bandwidths_are_a_circle():
    one, two = torch.tensor([.7]), torch.tensor([.7, .7])
    assert torch.equal(bandwidth_weights(one), bandwidth_weights(two))


def test_bandwidths_stay_finite():
    weights = bandwidth_weights(torch.tensor([[8.8, 50.]]))
    assert torch.isfinite(weights).all()
    assert torch.isfinite(weights * 9).all()  # the largest squared distance


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.sampled_from([1, 2]))
def test_means_equal_a_loop(seed, instances, channels):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, instances + 1, (2, 37), generator=generator)
    ids[1] = torch.where(ids[1] > instances // 2, ids[1], 0)
    ids[0] = torch.where(ids[0] <= instances // 2, ids[0], 0)
    present = sorted(set(ids.unique().tolist()) - {0})
    for number, old in enumerate(present, 1):
        ids[ids == old] = number
    values = torch.randn(2, channels, 37, generator=generator)
    own = find_foreground(ids, len(present))
    columns = values.transpose(0, 1).flatten(1)[:, own.places]
    means = instance_means(columns, own)
    assert means.shape == (len(present), channels)
    for k in range(len(present)):
        mask = ids == k + 1
        wanted = values.transpose(1, 2)[mask].mean(0)
        torch.testing.assert_close(means[k], wanted, atol=1e-6, rtol=1e-5)
    assert own.counts.sum() == (ids > 0).sum()


def test_means_of_nothing():
    own = find_foreground(torch.zeros(2, 5, dtype=torch.long), 0)
    assert instance_means(torch.zeros(3, 0), own).shape == (0, 3)


def test_means_of_millions_are_exact():
    """A float32 sum of so many would be off by pixels."""
    count = 2**21
    values = torch.full((1, count), .7) + torch.linspace(0, 1e-3, count)
    own = find_foreground(torch.ones(1, count, dtype=torch.long), 1)
    assert instance_means(values, own).item() == pytest.approx(
        values.double().mean().item(), abs=1e-7)
