"""Convolution whose taps are found by row ids instead of by position.

Several branches of 3x3 kernels, each with a dilation of its own, read their
taps from one shared list: [centre, 8 taps of branch 0, 8 of branch 1, ...].
Taps are gathered for a block of rows at a time, and again in the backward
pass, so that the gathered copy, 9 times the size of the features and more,
never exists as a whole.

A active and P passive rows, N = A + P, D branches, T = 1 + 8 * D taps,
C input and O output channels.

Source: EffSeg, arXiv:2307.01545, section 3.2 and appendix (index
convolution with a custom backward pass).
"""
from functools import lru_cache
from typing import Optional

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Numbers in one gathered block. On a CPU it should stay in the cache.
CPU_BLOCK = 1 << 20
GPU_BLOCK = 1 << 27
BACKENDS = ('torch', 'triton')
# Row-major positions of a 3x3 kernel, the centre first.
CENTER = 4
RING = (0, 1, 2, 3, 5, 6, 7, 8)


@lru_cache(maxsize=None)
def conv_taps(dilations: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Return the steps of all branches with 3x3 kernels.

    Args:
        dilations: Dilation of each of the D branches, >= 1.

    Returns:
        T steps (dy, dx): the shared centre, then for each branch the other 8
        in row-major order. Three branches have 25 and not 27.
    """
    ring = [(row // 3 - 1, row % 3 - 1) for row in RING]
    return ((0, 0), *((dy * dilation, dx * dilation) for dilation in dilations
                      for dy, dx in ring))


def index_conv(active: Tensor,
               passive: Tensor,
               ids: Tensor,
               weight: Tensor,
               bias: Optional[Tensor] = None,
               *,
               relu: bool = False,
               backend: str = 'torch') -> Tensor:
    """Convolve rows with their neighbours, sum over the branches.

    Differentiable once, in the features, the weights and the biases. Under
    autocast it runs in the dtype of autocast.

    Args:
        active: (A, C) rows that are convolved.
        passive: (P, C) rows that are only read.
        ids: (A, T) integer rows of ``cat([active, passive])`` in the order of
            `conv_taps`; A + P is a row of zeros.
        weight: (D, O, C, 3, 3) kernels, or (O, C, 3, 3) for one branch.
        bias: (D, O) or (O,); ``None`` for none.
        relu: Apply a ReLU to each branch, before they are summed.
        backend: 'torch' is the reference. 'triton' runs the forward pass of
            CUDA tensors as one kernel that gathers as it multiplies; other
            tensors take the reference.

    Returns:
        (A, O).

    Raises:
        ValueError: if the number of taps does not fit the kernels, or the
            backend is unknown.
    """
    if backend not in BACKENDS:
        raise ValueError(f'`backend` of index_conv must be one of {BACKENDS}, '
                         f'got {backend!r}.')
    weight = weight[None] if weight.ndim == 4 else weight
    if ids.shape[1] != 1 + 8 * weight.shape[0]:
        raise ValueError(
            f'`ids` of index_conv must have {1 + 8 * weight.shape[0]} taps '
            f'for {weight.shape[0]} kernels, got {ids.shape[1]}.')
    if bias is None:
        bias = weight.new_zeros(weight.shape[:2])
    inputs = [active, passive, weight, bias.view(weight.shape[:2])]
    dtype = compute_dtype(active)
    active, passive, weight, bias = (value.to(dtype) for value in inputs)
    # (D, 9, C, O), the centre first: products read it without a copy.
    weight = weight.flatten(3).permute(0, 3, 2, 1)
    weight = weight[:, [CENTER, *RING]]
    return _IndexConv.apply(active, passive, ids, weight, bias, relu,
                            backend == 'triton' and active.is_cuda)


def compute_dtype(feats: Tensor) -> torch.dtype:
    """Return the dtype to compute in: that of autocast where it is on.

    Args:
        feats: Features; double precision stays.

    Returns:
        A floating dtype.
    """
    kind = feats.device.type
    if feats.dtype == torch.float64 or not torch.is_autocast_enabled(kind):
        return feats.dtype
    return torch.get_autocast_dtype(kind)


def _table(active: Tensor, passive: Tensor) -> Tensor:
    """Return (N + 1, C), all rows and one of zeros."""
    return torch.cat([active, passive, active.new_zeros(1, active.shape[1])])


def _blocks(ids: Tensor, channels: int):
    """Yield slices of rows whose taps are gathered together."""
    block = GPU_BLOCK if ids.is_cuda else CPU_BLOCK
    step = max(block // max(ids.shape[1] * channels, 1), 1)
    for start in range(0, ids.shape[0], step):
        yield slice(start, start + step)


def _gather(table: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Return the taps of a few rows: (n, C) centres and (D, n, 8 * C)."""
    channels = table.shape[1]
    taps = table.index_select(0, ids.flatten()).view(len(ids), -1)
    rings = taps[:, channels:].unflatten(1, (-1, 8 * channels))
    return taps[:, :channels], rings.transpose(0, 1)


def _split(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return kernels of the centre (C, D * O) and of rings (D, 8 * C, O)."""
    center = weight[:, 0].transpose(0, 1).flatten(1)
    return center, weight[:, 1:].flatten(1, 2)


def _convolve(active: Tensor, passive: Tensor, ids: Tensor, weight: Tensor,
              bias: Tensor, relu: bool,
              needs_signs: bool) -> tuple[Tensor, Tensor]:
    """Return (A, O) sums and, if needed, (A, D, O) signs of the branches."""
    table = _table(active, passive)
    branches, _, channels, outputs = weight.shape
    out = active.new_zeros(active.shape[0], outputs)
    signs = out.new_empty(
        len(out) if needs_signs else 0, branches, outputs, dtype=torch.bool)
    center, ring = _split(weight)
    bias = bias.flatten()
    for rows in _blocks(ids, channels):
        cores, rings = _gather(table, ids[rows])
        starts = torch.addmm(bias, cores, center).split(outputs, 1)
        for branch, start in enumerate(starts):
            # Not in place: counters of operations know only this form.
            value = torch.addmm(start, rings[branch], ring[branch])
            if needs_signs:
                signs[rows, branch] = value > 0
            out[rows] += value.relu_() if relu else value
    return out, signs


class _IndexConv(torch.autograd.Function):
    """`index_conv`; keeps inputs and the signs of branches, not the taps."""

    @staticmethod
    def forward(ctx, active, passive, ids, weight, bias, relu, fused):
        needs_signs = relu and any(ctx.needs_input_grad)
        if fused:
            from mmseghead.ops.index_conv_triton import convolve
        else:
            convolve = _convolve
        out, signs = convolve(active, passive, ids, weight, bias, relu,
                              needs_signs)
        ctx.save_for_backward(active, passive, ids, weight, signs)
        ctx.relu = relu
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        active, passive, ids, weight, signs = ctx.saved_tensors
        table = _table(active, passive)
        branches, _, channels, outputs = weight.shape
        center, ring = _split(weight)
        grad_table = torch.zeros_like(table)
        grad_center, grad_ring = map(torch.zeros_like, (center, ring))
        grad_bias = weight.new_zeros(branches, outputs)
        needs_rows = any(ctx.needs_input_grad[:2])
        for rows in _blocks(ids, channels):
            cores, rings = _gather(table, ids[rows])
            maps = grad[rows, None].expand(-1, branches, -1)
            maps = maps * signs[rows] if ctx.relu else maps.contiguous()
            grad_bias += maps.sum(0)
            grad_center.addmm_(cores.t(), maps.flatten(1))
            for branch in range(branches):
                grad_ring[branch].addmm_(rings[branch].t(), maps[:, branch])
            if needs_rows:
                # The gathered block is no longer needed: reuse its memory.
                torch.mm(maps.flatten(1), center.t(), out=cores)
                for branch in range(branches):
                    torch.mm(
                        maps[:, branch], ring[branch].t(), out=rings[branch])
                taps = cores.as_strided((ids[rows].numel(), channels),
                                        (channels, 1))
                grad_table.index_add_(0, ids[rows].flatten(), taps)
        grad_center = grad_center.view(channels, branches, 1, outputs)
        grad_ring = grad_ring.view(branches, 8, channels, outputs)
        grad_weight = torch.cat(
            [grad_center.permute(1, 2, 0, 3), grad_ring], 1)
        num_active, num_passive = active.shape[0], passive.shape[0]
        return (grad_table[:num_active],
                grad_table[num_active:num_active + num_passive], None,
                grad_weight, grad_bias, None, None)
