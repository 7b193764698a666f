"""RoIAlign that takes the largest sample of each bin.

R RoIs, C channels, H x W map, P x Q bins.
"""
import torch
from torch import Tensor

from .roi_geometry import Axis, Geometry, batches, positions, taps

# The value of the best sample before the first one is seen, as in mmcv.
LOWEST = -10000.


def _bilinear(part: Axis, sample: int) -> tuple[Tensor, ...]:
    """Return what one sample of each bin reads along one axis.

    Returns:
        position, lower cell, upper cell, weight of the upper cell and
        whether the sample lies inside, each (n, P).
    """
    position = positions(part)[0][..., sample]
    low, fraction, inside = taps(position, part.size)
    high = (low + 1).clamp(max=part.size - 1)
    return position, low, high, fraction, inside


def largest(feature: Tensor, geometry: Geometry, outputs: tuple) -> None:
    """Write the largest sample of each bin and where it lies.

    Goes through the samples one by one in mmcv's order, since the first of
    equal ones receives the gradient.

    Args:
        feature: (B, C, H, W).
        geometry: of all RoIs.
        outputs: values, y and x, each (R, C, P, Q).
    """
    y, x = geometry.y, geometry.x
    keys = torch.stack([y.grid, x.grid], 1)
    numbers = feature.shape[1] * y.bins * x.bins * 4
    for index in batches(keys, lambda key: numbers):
        part = geometry.take(index)
        shape = len(index), *outputs[0].shape[1:]
        best = [
            feature.new_full(shape, start) for start in (LOWEST, -1., -1.)
        ]
        for in_y in range(int(part.y.grid[0])):
            for in_x in range(int(part.x.grid[0])):
                found = _sample(feature, part, in_y, in_x)
                better = found[0] > best[0]
                best = [
                    torch.where(better, new, old)
                    for new, old in zip(found, best)
                ]
        for output, value in zip(outputs, best):
            output[index] = value.to(output)


def _sample(feature: Tensor, part: Geometry, in_y: int,
            in_x: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return (n, C, P, Q) values, (n, 1, P, 1) y and (n, 1, 1, Q) x."""
    y, top, bottom, lower, inside_y = (
        value[:, :, None] for value in _bilinear(part.y, in_y))
    x, left, right, later, inside_x = (
        value[:, None] for value in _bilinear(part.x, in_x))
    image = part.image[:, None, None]
    value = 0
    # Weights and sum in the order of mmcv, for equal rounding.
    for rows, weight_y in ((top, 1 - lower), (bottom, lower)):
        for columns, weight_x in ((left, 1 - later), (right, later)):
            weight = (weight_y * weight_x)[..., None]  # (n, P, Q, 1)
            value = value + weight * feature[image, :, rows, columns]
    value = torch.where((inside_y & inside_x)[..., None], value, 0)
    return value.permute(0, 3, 1, 2), y[:, None], x[:, None]


def largest_backward(grad_output: Tensor, image: Tensor, places: tuple,
                     grad_input: Tensor) -> None:
    """Add each bin's gradient to the four cells around its largest sample.

    Args:
        grad_output: (R, C, P, Q).
        image: (R,) int64.
        places: y and x of the samples, each (R, C, P, Q); y is -1 where a
            bin had none.
        grad_input: (B, C, H, W).
    """
    _, channels, height, width = grad_input.shape
    top, lower, inside_y = taps(places[0], height)
    left, later, inside_x = taps(places[1], width)
    keep = inside_y & inside_x & (places[0] != -1)
    grad_output = torch.where(keep, grad_output, 0)
    bottom = (top + 1).clamp(max=height - 1)
    right = (left + 1).clamp(max=width - 1)
    plane = torch.arange(channels, device=image.device)[:, None, None]
    plane = plane + (image * channels)[:, None, None, None]  # (R, C, 1, 1)
    flat = torch.zeros_like(grad_input).view(-1)
    for rows, weight_y in ((top, 1 - lower), (bottom, lower)):
        for columns, weight_x in ((left, 1 - later), (right, later)):
            target = (plane * height + rows) * width + columns
            value = grad_output * weight_y * weight_x
            flat.index_add_(0, target.flatten(), value.flatten())
    grad_input += flat.view_as(grad_input)
