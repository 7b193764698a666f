"""Pictures of seeds, bandwidths and embeddings."""
import numpy as np
import pytest
import torch

from mmseghead.functional.spatial_embedding import (bandwidth_weights,
                                                    coordinate_map)
from mmseghead.visualization.embeddings import (draw_embeddings, draw_heat,
                                                radii_px)
from mmseghead.visualization.instances import instance_color


def test_heat_rises_to_yellow():
    picture = draw_heat(np.array([[-1., 0., 1., 2., 5.]]), 2.)
    assert picture.shape == (1, 5, 3) and picture.dtype == np.uint8
    assert (picture[0, 0] == picture[0, 1]).all()
    assert (picture[0, 3] == picture[0, 4]).all()
    blue, green, red = picture[0, 3].astype(int)
    assert red > 200 and green > 200 and blue < 80
    assert (picture[0, 1] != picture[0, 2]).any()
    with pytest.raises(ValueError, match='`limit` of draw_heat'):
        draw_heat(np.zeros((2, 3)), 0.)


@pytest.mark.parametrize('raw, radius', [(.5, 69.91), (1., 5.739)])
def test_published_radii(raw, radius):
    weights = bandwidth_weights(torch.full((3, 4, 1), raw))
    radii = radii_px(weights.permute(2, 0, 1).numpy())
    assert radii.shape == (2, 3, 4)
    np.testing.assert_allclose(radii[1], radius, rtol=2e-4)
    np.testing.assert_allclose(radii[0], radius, rtol=2e-3)


def test_pixels_appear_where_their_embeddings_are():
    height, width, scale = 20, 31, 3
    embeddings = coordinate_map(height, width).numpy()
    owners = np.zeros((height, width), int)
    owners[2, 3], owners[15, 25] = 1, 2
    foreground = owners > 0
    foreground[8, 20] = True  # in no instance
    embeddings[:, 2, 3] = embeddings[:, 6, 10]
    embeddings[:, 15, 25] = 9.  # outside
    weights = np.full((2, 2), np.exp(14.))  # radius below a pixel
    canvas = draw_embeddings(embeddings, owners, foreground,
                             np.array([[.001, .018], [.001, .018]]), weights,
                             scale)
    assert canvas.shape == (60, 93, 3)
    assert tuple(canvas[6 * scale + 1, 10 * scale + 1]) == instance_color(0)
    assert len(set(canvas[8 * scale + 1, 20 * scale + 1])) == 1
    assert canvas[8 * scale + 1, 20 * scale + 1, 0] > 0
    assert not canvas[2 * scale:3 * scale, 3 * scale:4 * scale].any()


def test_ellipses_have_the_gaussians_axes():
    weights = bandwidth_weights(torch.tensor([[.9, 1.05]])).numpy()
    canvas = draw_embeddings(
        np.zeros((2, 41, 61)), np.zeros((41, 61), int),
        np.zeros((41, 61), bool), np.array([[30 * 2 / 2047, 20 / 1023]]),
        weights, 4)
    rows, columns = canvas.any(2).nonzero()
    half_x, half_y = radii_px(weights[0]) * 4
    assert np.ptp(columns) / 2 == pytest.approx(half_x, abs=1.5)
    assert np.ptp(rows) / 2 == pytest.approx(half_y, abs=1.5)
    assert half_x > 1.5 * half_y


def test_nothing_to_draw():
    canvas = draw_embeddings(
        np.zeros((2, 5, 7)), np.zeros((5, 7), int), np.zeros((5, 7), bool),
        np.zeros((0, 2)), np.zeros((0, 2)))
    assert canvas.shape == (10, 14, 3) and not canvas.any()
