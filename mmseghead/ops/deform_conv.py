"""Deformable convolution, plain and modulated, forward and backward.

Both are one product of the weights with values sampled between cells. A
sample is a weighted sum of four cells, and all its derivatives follow from
four scalars per sample: the products of the incoming gradient with those
cells. Cells are rows of a channels-last map, so that each is read and added
to as a whole.

B images, C input and O output channels, G weight groups, D offset groups,
K kernel cells, L output cells, N = B * L samples per kernel cell.
"""
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from .nms import compute_dtype

# Numbers in one temporary (64 MiB in single precision).
CHUNK = 1 << 24


class Kernel(NamedTuple):
    """Sizes of a convolution, each (along y, along x) but for the groups."""
    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    deform_groups: int


class Inputs(NamedTuple):
    """Tensors of a convolution, its gradients have the same fields.

    Attributes:
        feature: (B, C, H, W).
        weight: (O, C / G, kernel height, kernel width).
        offset: (B, 2 * D * K, out_h, out_w), cells, row before column.
        mask: (B, D * K, out_h, out_w), or None for a plain convolution.
    """
    feature: Tensor
    weight: Tensor
    offset: Tensor
    mask: Optional[Tensor]


class Samples(NamedTuple):
    """Where the samples of a few images lie.

    Attributes:
        cells: (4, S) int64 rows of the channels-last map, S = B * D * K * L.
        weights: (4, S) share of each cell, without the modulation.
        down: (4, S) derivative of the shares by the row.
        right: (4, S) derivative of the shares by the column.
        mask: (S,) modulation, or None.
    """
    cells: Tensor
    weights: Tensor
    down: Tensor
    right: Tensor
    mask: Optional[Tensor]


def _positions(offset: Tensor, kernel: Kernel) -> Tensor:
    """Return (2, B, D, K, L) rows and columns of the samples in cells."""
    images, _, out_h, out_w = offset.shape
    offset = offset.view(images, kernel.deform_groups, -1, 2, out_h, out_w)
    planes = []
    for axis, count in enumerate((out_h, out_w)):
        options = dict(device=offset.device, dtype=offset.dtype)
        base = torch.arange(count, **options) * kernel.stride[axis]
        base = base - kernel.padding[axis]
        cell = torch.arange(kernel.size[axis], **options)
        cell = cell * kernel.dilation[axis]
        # (K, 1, 1) of a row-major kernel, and (out_h, 1) or (out_w,).
        if axis == 0:
            cell = cell.repeat_interleave(kernel.size[1])
            base = base[:, None]
        else:
            cell = cell.repeat(kernel.size[0])
        planes.append(base + cell[:, None, None] + offset[:, :, :, axis])
    return torch.stack(planes).flatten(-2)


def _samples(offset: Tensor, mask: Optional[Tensor], kernel: Kernel,
             size: tuple[int, int]) -> Samples:
    """Find the four cells of every sample of the (B, ...) offsets.

    Args:
        offset: (B, 2 * D * K, out_h, out_w), row before column.
        mask: (B, D * K, out_h, out_w), or None.
        kernel: of the convolution.
        size: (H, W) of the map.
    """
    y, x = _positions(offset, kernel)  # (B, D, K, L)
    height, width = size
    inside = (y > -1) & (x > -1) & (y < height) & (x < width)
    top, left = y.floor(), x.floor()
    lower, later = y - top, x - left
    images, groups = y.shape[:2]
    maps = torch.arange(images * groups, device=y.device)
    maps = maps.view(images, groups, 1, 1)
    parts = [[], [], [], []]
    for row, in_y, sign_y in ((top, 1 - lower, -1), (top + 1, lower, 1)):
        for column, in_x, sign_x in ((left, 1 - later, -1),
                                     (left + 1, later, 1)):
            valid = inside & (row >= 0) & (row < height)
            valid &= (column >= 0) & (column < width)
            cell = (maps * height + row.clamp(0, height - 1).long()
                    ) * width + column.clamp(0, width - 1).long()
            values = cell, in_y * in_x, sign_y * in_x, sign_x * in_y
            parts[0].append(cell.flatten())
            for part, value in zip(parts[1:], values[1:]):
                part.append(torch.where(valid, value, 0).flatten())
    stacked = [torch.stack(part) for part in parts]
    return Samples(*stacked, None if mask is None else mask.flatten())


def _rows(feature: Tensor, deform_groups: int) -> Tensor:
    """Return (B * D * H * W, C / D) cells of a (B, C, H, W) map."""
    images, channels, height, width = feature.shape
    shape = images, deform_groups, channels // deform_groups, height, width
    return feature.view(shape).permute(0, 1, 3, 4, 2).flatten(0, 3)


def _columns(rows: Tensor, samples: Samples) -> Tensor:
    """Return the (S, C / D) sampled values."""
    weights = samples.weights
    if samples.mask is not None:
        weights = weights * samples.mask
    # One fused weighted sum of four rows per sample.
    return torch.nn.functional.embedding_bag(
        samples.cells.t().contiguous(),
        rows,
        mode='sum',
        per_sample_weights=weights.t().contiguous())


def _to_product(columns: Tensor, images: int, kernel: Kernel) -> Tensor:
    """Reorder (S, C / D) values to (G, B * L, K * C / G)."""
    cells = kernel.size[0] * kernel.size[1]
    depth = columns.shape[1]
    columns = columns.view(images, kernel.deform_groups, cells, -1, depth)
    columns = columns.permute(0, 3, 1, 4, 2)  # (B, L, D, C / D, K)
    length = columns.shape[1]
    columns = columns.reshape(images * length, kernel.groups, -1)
    return columns.transpose(0, 1)


def _from_product(product: Tensor, images: int, kernel: Kernel) -> Tensor:
    """Reorder (G, B * L, K * C / G) values to (S, C / D)."""
    cells = kernel.size[0] * kernel.size[1]
    product = product.transpose(0, 1)  # (B * L, G, C / G * K)
    product = product.reshape(images, product.shape[0] // images,
                              kernel.deform_groups, -1, cells)
    return product.permute(0, 2, 4, 1, 3).flatten(0, 3)


def _parts(inputs: Inputs, kernel: Kernel) -> list[slice]:
    """Split the images so that the sampled values stay within bounds."""
    images, channels = inputs.feature.shape[:2]
    length = inputs.offset.shape[2] * inputs.offset.shape[3]
    numbers = channels * kernel.size[0] * kernel.size[1] * length
    step = max(1, CHUNK // max(1, numbers))
    return [slice(start, start + step) for start in range(0, images, step)]


def _place(inputs: Inputs, kernel: Kernel,
           part: slice) -> tuple[Tensor, Samples]:
    """Return the (B * D * H * W, C / D) cells and samples of some images."""
    dtype = compute_dtype(inputs.feature)
    feature, mask = inputs.feature[part].to(dtype), inputs.mask
    samples = _samples(inputs.offset[part].to(dtype),
                       None if mask is None else mask[part].to(dtype), kernel,
                       feature.shape[2:])
    return _rows(feature, kernel.deform_groups), samples


def _values(inputs: Inputs, kernel: Kernel, part: slice) -> Tensor:
    """Return the (G, B * L, K * C / G) sampled values of some images."""
    columns = _columns(*_place(inputs, kernel, part))
    return _to_product(columns, len(inputs.feature[part]), kernel)


def _matrix(inputs: Inputs, kernel: Kernel) -> Tensor:
    """Return the weights as (G, O / G, K * C / G)."""
    weight = inputs.weight.to(compute_dtype(inputs.feature))
    return weight.reshape(kernel.groups, -1, weight[0].numel())


def forward(inputs: Inputs, kernel: Kernel) -> Tensor:
    """Return the convolution without bias.

    Args:
        inputs: feature, weight, offset and mask.
        kernel: of the convolution.

    Returns:
        (B, O, out_h, out_w) in the precision computed in.
    """
    matrix = _matrix(inputs, kernel)
    size = inputs.offset.shape[2:]
    output = matrix.new_empty(
        (len(inputs.feature), len(inputs.weight), *size))
    for part in _parts(inputs, kernel):
        values = _values(inputs, kernel, part)
        result = matrix @ values.transpose(1, 2)  # (G, O / G, B * L)
        result = result.view(len(inputs.weight), -1, *size)
        output[part] = result.transpose(0, 1)
    return output


def backward_weight(grad_output: Tensor, inputs: Inputs,
                    kernel: Kernel) -> Tensor:
    """Return the gradient by the weights in the precision computed in.

    Args:
        grad_output: (B, O, out_h, out_w).
        inputs: as in the forward call.
        kernel: of the convolution.
    """
    total = torch.zeros_like(_matrix(inputs, kernel))
    for part in _parts(inputs, kernel):
        values = _values(inputs, kernel, part)
        total += _group_grad(grad_output[part], total) @ values
    return total.view_as(inputs.weight)


def backward_inputs(grad_output: Tensor, inputs: Inputs,
                    kernel: Kernel) -> Inputs:
    """Return the gradients by feature, offset and mask.

    Args:
        grad_output: (B, O, out_h, out_w).
        inputs: as in the forward call.
        kernel: of the convolution.

    Returns:
        Gradients in the precision computed in; that of the weights is empty.
    """
    matrix = _matrix(inputs, kernel)
    total = Inputs(*(None if value is None else torch.zeros_like(
        value, dtype=matrix.dtype) for value in inputs))
    for part in _parts(inputs, kernel):
        rows, samples = _place(inputs, kernel, part)
        grad = _group_grad(grad_output[part], matrix)
        columns = _from_product(
            grad.transpose(1, 2) @ matrix, len(inputs.feature[part]), kernel)
        target = Inputs(total.feature[part], matrix[:0], total.offset[part],
                        None if total.mask is None else total.mask[part])
        _spread(columns, rows, samples, target)
    return total._replace(weight=matrix[:0])


def _group_grad(grad_output: Tensor, matrix: Tensor) -> Tensor:
    """Reorder (B, O, out_h, out_w) gradients to (G, O / G, B * L)."""
    grad = grad_output.to(matrix.dtype).transpose(0, 1)
    return grad.reshape(*matrix.shape[:2], -1)


def _spread(columns: Tensor, rows: Tensor, samples: Samples,
            total: Inputs) -> None:
    """Write the gradients of a few images from those of their samples.

    Args:
        columns: (S, C / D) gradients of the sampled values.
        rows: (B * D * H * W, C / D) cells of the map.
        samples: of these images.
        total: of these images; feature, offset and mask are overwritten.
    """
    products = torch.stack([
        (rows[cells] * columns).sum(1) for cells in samples.cells
    ])  # (4, S)
    down = (products * samples.down).sum(0)
    right = (products * samples.right).sum(0)
    weights = samples.weights
    if samples.mask is not None:
        total.mask.copy_((products * weights).sum(0).view_as(total.mask))
        down, right = down * samples.mask, right * samples.mask
        weights = weights * samples.mask
    images, _, *size = total.offset.shape
    slopes = torch.stack([down, right]).view(2, images, -1, *size)
    total.offset.copy_(slopes.permute(1, 2, 0, 3, 4).flatten(1, 2))
    spread = torch.zeros_like(rows)
    for cells, share in zip(samples.cells, weights):
        spread.index_add_(0, cells, columns * share[:, None])
    _, channels, height, width = total.feature.shape
    spread = spread.view(images, -1, height, width, rows.shape[1])
    spread = spread.permute(0, 1, 4, 2, 3)  # (B, D, C / D, H, W)
    total.feature.copy_(spread.reshape(total.feature.shape))
