"""RoIAlign, forward and backward.

Average RoIAlign is separable: a sample is a product of a weight in y and a
weight in x, also at the border, where a sample outside contributes nothing
and one just outside is moved inside. So an output is ``Wy @ feature @ Wx.T``
with two small matrices per RoI, exactly, however many samples a bin takes;
its gradient is the transposed pair. The matrices cover either the RoI's
window, cut out of the map, or the whole map, whichever is less work.

R RoIs, C channels, H x W map, h x w window, P x Q bins, S samples per bin.
"""
from collections.abc import Iterator

import torch
from torch import Tensor

from .nms import compute_dtype
from .roi_geometry import (Axis, Geometry, batches, place_samples, positions,
                           taps)
from .roi_max import largest, largest_backward

# Windows are rounded up to this many cells so that few sizes occur, each of
# which is one batch of products.
WINDOW_STEP = 4
# Reading one cell of a window out of the map, and adding one to it, take as
# long as this many multiplications (measured on x86); see `_use_map`.
READ_COST, ADD_COST = 64, 24


def _weights(axis: Axis, first: Tensor, length: int) -> Tensor:
    """Return the matrix that averages a window into bins.

    Args:
        axis: samples of R RoIs.
        first: (R,) int64 first cell of each window.
        length: cells of every window.

    Returns:
        (R, P, length).
    """
    position, exists = positions(axis)
    low, fraction, inside = taps(position, axis.size)
    share = (inside & exists) / axis.grid.clamp(min=1)[:, None, None].to(
        position)
    low = low - first[:, None, None]
    # Samples without a share may lie outside of the window.
    low = torch.where(share > 0, low, 0)
    high = (low + 1).clamp(max=length - 1)
    out = position.new_zeros(*position.shape[:2], length)
    out.scatter_add_(2, low, share * (1 - fraction))
    return out.scatter_add_(2, high, share * fraction)


def _windows(axis: Axis) -> tuple[Tensor, Tensor]:
    """Return first cell and length (rounded up) of each RoI's window."""
    samples = axis.grid.clamp(min=1)
    inset = 0.5 * axis.step / samples
    edges = torch.stack([
        axis.start + inset, axis.start + axis.bins * axis.step - inset
    ]).nan_to_num(0, 0, 0)
    # One cell to spare on either side: these edges are rounded otherwise
    # than the samples.
    low = (edges[0].floor().long() - 1).clamp(0, axis.size - 1)
    high = (edges[1].floor().long() + 2).clamp(0, axis.size - 1)
    length = high - low + 1
    length = -(-length // WINDOW_STEP) * WINDOW_STEP
    length = length.clamp(min=1, max=axis.size)
    return torch.minimum(low, axis.size - length), length


def _use_map(geometry: Geometry, windows: tuple, cost: int) -> bool:
    """Return whether whole-map products are less work than windows.

    Args:
        geometry: of all RoIs.
        windows: first cells and lengths along y, then along x.
        cost: of handling a cell of a window, in multiplications.
    """
    y, x = geometry.y, geometry.x
    cells = int((windows[0][1] * windows[1][1]).sum())
    window = cells * (y.bins + cost)
    return len(geometry.image) * y.size * x.size * y.bins <= window


def _image_batches(geometry: Geometry, numbers: int) -> list[Tensor]:
    """Return indices of RoIs of one image each.

    Args:
        geometry: of all RoIs.
        numbers: numbers that the temporary of one RoI holds.
    """
    return batches(geometry.image[:, None], lambda key: numbers)


def _windowed(geometry: Geometry, windows: tuple, channels: int
              ) -> Iterator[tuple[Tensor, Geometry, Tensor, Tensor]]:
    """Go through the RoIs in batches of one window size.

    Args:
        geometry: of all RoIs.
        windows: first cells and lengths along y, then along x.
        channels: C.

    Yields:
        Indices (n,), their geometry, rows (n, h) and columns (n, w) of the
        map in their windows.
    """
    (top, height), (left, width) = windows
    keys = torch.stack([height, width], 1)
    for index in batches(keys, lambda key: key[0] * key[1] * channels):
        h, w = keys[index[0]].tolist()
        rows = top[index, None] + torch.arange(h, device=index.device)
        columns = left[index, None] + torch.arange(w, device=index.device)
        yield index, geometry.take(index), rows, columns


def _average(feature: Tensor, geometry: Geometry, output: Tensor) -> None:
    """Write the average of each bin; (R, C, P, Q) ``output``."""
    y, x = geometry.y, geometry.x
    channels = feature.shape[1]
    windows = _windows(y), _windows(x)
    if _use_map(geometry, windows, READ_COST):
        for index in _image_batches(geometry, y.bins * channels * x.size):
            part = geometry.take(index)
            cells = feature[part.image[0]].transpose(0, 1)  # (H, C, W)
            output[index] = _reduce(part, cells, None).to(output)
        return
    for index, part, rows, columns in _windowed(geometry, windows, channels):
        # A view of all windows of this width, of which rows are copied.
        views = feature.unfold(3, columns.shape[1], 1)
        cells = views[part.image[:, None], :, rows, columns[:, :1]]
        averages = _reduce(part, cells, (rows[:, 0], columns[:, 0]))
        output[index] = averages.to(output)


def _reduce(part: Geometry, cells: Tensor, first) -> Tensor:
    """Average windows (n, h, C, w), or one map (H, C, W), into bins."""
    count, channels = len(part.image), cells.shape[-2]
    if first is None:
        first = (part.image.new_zeros(count), ) * 2
    in_y = _weights(part.y, first[0], cells.shape[-3])  # (n, P, h)
    in_x = _weights(part.x, first[1], cells.shape[-1])  # (n, Q, w)
    bands = in_y @ cells.flatten(-2)  # (n, P, C * w)
    bands = bands.view(count, -1, cells.shape[-1])  # (n, P * C, w)
    bins = torch.bmm(bands, in_x.transpose(1, 2))  # (n, P * C, Q)
    return bins.view(count, part.y.bins, channels, -1).transpose(1, 2)


def _average_backward(grad_output: Tensor, geometry: Geometry,
                      grad_input: Tensor) -> None:
    """Add the gradient of `_average` to the (B, C, H, W) ``grad_input``."""
    y, x = geometry.y, geometry.x
    channels = grad_input.shape[1]
    windows = _windows(y), _windows(x)
    if _use_map(geometry, windows, ADD_COST):
        for index in _image_batches(geometry, y.bins * channels * x.size):
            part = geometry.take(index)
            _spread_on_map(grad_output[index], part,
                           grad_input[part.image[0]])
        return
    images, _, height, width = grad_input.shape
    # Channels last, so that a cell is one row to add.
    total = grad_input.new_zeros(images * height * width, channels)
    for index, part, rows, columns in _windowed(geometry, windows, channels):
        cells = _spread_on_windows(grad_output[index], part, rows, columns)
        rows = part.image[:, None] * height + rows  # (n, h)
        target = rows[:, :, None] * width + columns[:, None]  # (n, h, w)
        total.index_add_(0, target.flatten(), cells.view(-1, channels))
    total = total.view(images, height, width, channels)
    grad_input += total.permute(0, 3, 1, 2)


def _spread_on_map(grad: Tensor, part: Geometry, grad_map: Tensor) -> None:
    """Add (n, C, P, Q) gradients of RoIs of one image to its (C, H, W)."""
    channels, height, width = grad_map.shape
    first = part.image.new_zeros(len(part.image))
    in_y = _weights(part.y, first, height).flatten(0, 1)  # (n * P, H)
    in_x = _weights(part.x, first, width)  # (n, Q, W)
    bands = grad.transpose(1, 2).flatten(1, 2) @ in_x  # (n, P * C, W)
    cells = in_y.t() @ bands.view(in_y.shape[0], -1)  # (H, C * W)
    grad_map += cells.view(height, channels, width).transpose(0, 1)


def _spread_on_windows(grad: Tensor, part: Geometry, rows: Tensor,
                       columns: Tensor) -> Tensor:
    """Return (n, h, w, C) gradients of windows from (n, C, P, Q)."""
    in_y = _weights(part.y, rows[:, 0], rows.shape[1])  # (n, P, h)
    in_x = _weights(part.x, columns[:, 0], columns.shape[1])  # (n, Q, w)
    grad = grad.permute(0, 2, 3, 1)  # (n, P, Q, C)
    bands = torch.bmm(in_y.transpose(1, 2), grad.flatten(2))  # (n, h, Q * C)
    bands = bands.view(*rows.shape, part.x.bins, -1)  # (n, h, Q, C)
    return in_x.transpose(1, 2)[:, None] @ bands


def roi_align_forward(input: Tensor, rois: Tensor, output: Tensor,
                      argmax_y: Tensor, argmax_x: Tensor, *,
                      aligned_height: int, aligned_width: int,
                      spatial_scale: float, sampling_ratio: int,
                      pool_mode: int, aligned: bool) -> None:
    """Write the RoIs' features into ``output``.

    Computed in single precision, or double for double input. A RoI without
    samples (aligned, adaptive, no extent) gives 0, or -10000 for max.

    Args:
        input: (B, C, H, W).
        rois: (R, 5), (image, x1, y1, x2, y2), pixels.
        output: (R, C, P, Q), overwritten.
        argmax_y: (R, C, P, Q) for max, overwritten with the rows of the
            largest samples in cells; unused for average.
        argmax_x: the same for columns.
        aligned_height: P.
        aligned_width: Q.
        spatial_scale: cells per pixel.
        sampling_ratio: samples per bin and axis; 0 for as many as the bin
            covers cells.
        pool_mode: 0 for max, 1 for average.
        aligned: whether the centre of a cell lies at half a pixel.

    Raises:
        ValueError: if an aligned RoI on the CPU ends before it starts; on a
            GPU, where a look would stall the stream, such a RoI has no
            samples.
    """
    dtype = compute_dtype(input)
    feature, rois = input.detach().to(dtype), rois.detach().to(dtype)
    bins = aligned_height, aligned_width
    geometry = place_samples(rois, input.shape, bins, spatial_scale,
                             (sampling_ratio, aligned))
    if pool_mode == 1:
        _average(feature, geometry, output)
    else:
        largest(feature, geometry, (output, argmax_y, argmax_x))


def roi_align_backward(grad_output: Tensor, rois: Tensor, argmax_y: Tensor,
                       argmax_x: Tensor, grad_input: Tensor, *,
                       aligned_height: int, aligned_width: int,
                       spatial_scale: float, sampling_ratio: int,
                       pool_mode: int, aligned: bool) -> None:
    """Add the gradient of the features to ``grad_input``.

    Args:
        grad_output: (R, C, P, Q).
        rois: (R, 5), as in the forward call.
        argmax_y: as written by the forward call.
        argmax_x: as written by the forward call.
        grad_input: (B, C, H, W), added to.
        aligned_height: as in the forward call, and so are the others.
        aligned_width: Q.
        spatial_scale: cells per pixel.
        sampling_ratio: samples per bin and axis.
        pool_mode: 0 for max, 1 for average.
        aligned: whether the centre of a cell lies at half a pixel.
    """
    dtype = compute_dtype(grad_output)
    grad, rois = grad_output.detach().to(dtype), rois.detach().to(dtype)
    total = torch.zeros_like(grad_input, dtype=dtype)
    if pool_mode == 1:
        bins = aligned_height, aligned_width
        geometry = place_samples(rois, grad_input.shape, bins, spatial_scale,
                                 (sampling_ratio, aligned))
        _average_backward(grad, geometry, total)
    else:
        places = argmax_y.to(dtype), argmax_x.to(dtype)
        largest_backward(grad, rois[:, 0].long(), places, total)
    grad_input += total.to(grad_input)
