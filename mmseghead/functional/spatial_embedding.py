"""The space in which pixels are clustered into instances.

One unit is about 1023 pixels on both axes, whatever the size of the image or
of the crop: offsets and bandwidths keep their meaning.

Legend: B images, K instances of a batch, n bandwidths per instance (1 for
circles, 2 for ellipses), P pixels, F foreground pixels of a batch.

Source: Neven et al., arXiv:1906.11109; steps and factors are those of
davyneven/SpatialEmbeddings, whose map ends at 2048 x 1024 pixels. Ours goes
on with the same steps.
"""
from typing import NamedTuple, Optional

import torch
from torch import Tensor

#: Units per pixel, x and y: 2048 points on [0, 2] and 1024 on [0, 1].
PIXEL_STEPS = (2 / 2047, 1 / 1023)
#: Weights are exp(10 s), s the raw bandwidth that the network predicts.
BANDWIDTH_FACTOR = 10.0
#: exp(10 s) leaves float32 at s = 8.87; times a squared distance, earlier.
MAX_RAW_BANDWIDTH = 8.0


def coordinate_map(height: int,
                   width: int,
                   device: Optional[torch.device] = None) -> Tensor:
    """Return the coordinates of pixels.

    Args:
        height: Rows, any number.
        width: Columns, any number.
        device: Where the map goes.

    Returns:
        (2, height, width) float32, x and y in units; 0 at the first pixel.
    """
    x, y = (
        (torch.arange(length, dtype=torch.float64, device=device) *
         step).float()
        for length, step in zip((width, height), PIXEL_STEPS))
    return torch.stack((x.expand(height, width),
                        y[:, None].expand(height, width)))


def bandwidth_weights(raw: Tensor) -> Tensor:
    """Return the weights exp(10 s) of squared distances, one per axis.

    Args:
        raw: (..., n) raw bandwidths s, n is 1 or 2. Means over pixels are
            taken before this function, not after it.

    Returns:
        (..., 2) weights ``1 / (2 sigma^2)``; a circle has twice the same.
    """
    weights = (BANDWIDTH_FACTOR * raw.clamp(max=MAX_RAW_BANDWIDTH)).exp()
    return weights.expand(*weights.shape[:-1], 2)


def membership(embeddings: Tensor, center: Tensor, weights: Tensor) -> Tensor:
    """Return the membership phi of pixels in instances.

    Args:
        embeddings: (2, ...) x and y in units.
        center: (2, ...) that broadcasts with it.
        weights: (2, ...) that broadcasts with it.

    Returns:
        (...) in [0, 1]; 0.5 at the distance ``sqrt(ln 2 / w)``.
    """
    return (-(weights * (embeddings - center).square()).sum(0)).exp()


class Foreground(NamedTuple):
    """The pixels of a batch that belong to instances."""

    places: Tensor  #: (F,) index into the B * P pixels, ascending
    owners: Tensor  #: (F,) instance, 0 to K - 1
    counts: Tensor  #: (K,) pixels of each instance, float64


def find_foreground(ids: Tensor, num_instances: int) -> Foreground:
    """List the pixels of all instances.

    Args:
        ids: (B, P) integers: 0 for none, else 1 to K, unique in the batch.
        num_instances: K.

    Returns:
        Pixels, owners and counts; empty tensors where K is 0.
    """
    flat = ids.flatten()
    places = flat.nonzero().flatten()
    owners = flat[places].long() - 1
    counts = torch.bincount(owners, minlength=num_instances).double()
    return Foreground(places, owners, counts)


def instance_means(values: Tensor, foreground: Foreground) -> Tensor:
    """Return the mean of a quantity over each instance's pixels.

    Args:
        values: (C, F) one column per foreground pixel.
        foreground: F pixels of K instances, each with at least one pixel.

    Returns:
        (K, C), the type of ``values``; gradients flow through.
    """
    # In float64: float32 loses 1e-5 over a million pixels of one sum.
    sums = values.new_zeros((len(foreground.counts), len(values)),
                            dtype=torch.float64)
    sums = sums.index_add(0, foreground.owners, values.T.double())
    return (sums / foreground.counts[:, None]).to(values.dtype)
