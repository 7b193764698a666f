"""Where RoIAlign takes its samples, and how RoIs are batched.

R RoIs, C channels, H x W map, P x Q bins, S samples per bin and axis.
"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Numbers in one temporary (64 MiB in single precision).
CHUNK = 1 << 24


class Axis(NamedTuple):
    """Samples of R RoIs along one axis, in cells of the map.

    Attributes:
        start: (R,) first edge of the RoI.
        step: (R,) size of a bin.
        grid: (R,) number of samples per bin, int64, 0 for an empty RoI.
        bins: number of bins.
        size: cells of the map.
    """
    start: Tensor
    step: Tensor
    grid: Tensor
    bins: int
    size: int

    def take(self, index: Tensor) -> 'Axis':
        """Return the samples of some of the RoIs."""
        return self._replace(
            start=self.start[index],
            step=self.step[index],
            grid=self.grid[index])


class Geometry(NamedTuple):
    """What `roi_align` needs to know about the RoIs.

    Attributes:
        image: (R,) int64 index of the image.
        y: samples along the height.
        x: samples along the width.
    """
    image: Tensor
    y: Axis
    x: Axis

    def take(self, index: Tensor) -> 'Geometry':
        """Return the geometry of some of the RoIs."""
        return Geometry(self.image[index], self.y.take(index),
                        self.x.take(index))


def place_samples(rois: Tensor, shape: torch.Size, bins: tuple[int, int],
                  spatial_scale: float, options: tuple[int, bool]) -> Geometry:
    """Place the samples of all RoIs.

    The arithmetic follows mmcv's operator by operator, since rounding
    decides how many samples an adaptive bin takes.

    Args:
        rois: (R, 5), (image, x1, y1, x2, y2), pixels.
        shape: (B, C, H, W) of the map.
        bins: (P, Q).
        spatial_scale: cells per pixel.
        options: samples per bin and axis (0 for adaptive), aligned.

    Raises:
        ValueError: if an aligned RoI on the CPU ends before it starts.
    """
    ratio, aligned = options
    corners = rois[:, 1:] * float(np.float32(spatial_scale))
    if aligned:
        corners = corners - 0.5
    sides = corners[:, 2:] - corners[:, :2]  # (R, 2), x before y
    if not aligned:
        sides = sides.clamp(min=1)
    elif rois.device.type == 'cpu' and (sides < 0).any():
        raise ValueError(
            '`rois` of roi_align must have x1 <= x2 and y1 <= y2, got '
            f'{rois[(sides < 0).any(1)][0].tolist()} (image, x1, y1, x2, y2).')
    axes = []
    for axis, (bin_count, size) in enumerate(zip(bins, shape[2:])):
        column = 1 - axis
        step = sides[:, column] / bin_count
        if ratio > 0:
            grid = torch.full_like(step, ratio)
        else:
            # mmcv rounds up in single precision whatever the input is.
            grid = step.float().ceil()
        # An RoI that is not finite or turned inside out has no samples.
        grid = grid.nan_to_num(0, 0, 0).clamp(min=0).long()
        axes.append(Axis(corners[:, column], step, grid, bin_count, size))
    return Geometry(rois[:, 0].long(), *axes)


def positions(axis: Axis) -> tuple[Tensor, Tensor]:
    """Return where the samples lie and which of them exist.

    Returns:
        (R, P, S) positions in cells and (R, 1, S) bool, with S the most
        samples that a bin of any RoI has.
    """
    most = int(axis.grid.max()) if len(axis.grid) else 0
    options = dict(device=axis.start.device, dtype=axis.start.dtype)
    bins = torch.arange(axis.bins, **options)[:, None]
    sample = torch.arange(most, **options)
    start, step = axis.start[:, None, None], axis.step[:, None, None]
    grid = axis.grid[:, None, None]
    inner = (sample + 0.5) * step / grid  # (R, 1, S)
    return start + bins * step + inner, sample < grid


def taps(position: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split positions into two neighbouring cells.

    Args:
        position: in cells, any shape.
        size: cells of the map.

    Returns:
        low: int64 lower cell, in [0, size).
        fraction: weight of the upper cell, which is ``low + 1`` or, at the
            end of the map, ``low``.
        inside: bool, false where the sample contributes nothing.
    """
    inside = (position >= -1) & (position <= size)
    position = torch.where(inside, position, 0).clamp(0, size - 1)
    low = position.long()
    return low, position - low, inside


def batches(keys: Tensor,
            numbers: Callable[[list[int]], int]) -> list[Tensor]:
    """Split RoIs into batches of equal keys and bounded size.

    Args:
        keys: (R, D) int64.
        numbers: numbers that the temporary of one RoI of a key holds.

    Returns:
        (n,) int64 indices of the RoIs of each batch.
    """
    if not len(keys):
        return []
    unique, inverse, counts = torch.unique(
        keys, dim=0, return_inverse=True, return_counts=True)
    groups = inverse.argsort(stable=True).split(counts.tolist())
    return [
        part for key, group in zip(unique.tolist(), groups)
        for part in group.split(max(1, CHUNK // max(1, numbers(key))))
    ]
