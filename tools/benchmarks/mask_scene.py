"""Made-up instances in a large image."""
import math

import torch

#: Original pixels of an input pixel: 4000 x 6000 becomes 800 x 1200.
SHRUNK = 5


def boxes(num, size):
    """Return (num, 4) boxes in a grid, in original pixels."""
    height, width = size
    columns = math.ceil(math.sqrt(num * width / height))
    rows = math.ceil(num / columns)
    cell = torch.tensor([width / columns, height / rows])
    place = torch.arange(num)
    center = (torch.stack((place % columns, place // columns), 1) + .5) * cell
    return torch.cat((center - .35 * cell, center + .35 * cell), 1)


def meta(size):
    """Return the image's meta information."""
    return dict(
        ori_shape=size,
        img_shape=(size[0] // SHRUNK, size[1] // SHRUNK),
        scale_factor=(1 / SHRUNK, 1 / SHRUNK))


def disks(num, side):
    """Return (num, 1, side, side) logits of disks."""
    x = (torch.arange(side) + .5) / side * 2 - 1
    return (4 * (.8 - x**2 - x[:, None]**2)).expand(num, 1, -1, -1)
