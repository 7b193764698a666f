"""Index convolution as one Triton kernel, forward pass.

An implicit matrix product: tiles of taps are gathered straight into the
product, and all branches, their biases and ReLUs and the sum are done before
anything is written. No gathered copy exists. Import it only where Triton is
installed; `mmseghead.functional.index_conv` does.

A active and P passive rows, D branches, T = 1 + 8 * D taps, C input and O
output channels.

Source: EffSeg, arXiv:2307.01545, for the convolution. The kernel is not in
the paper.
"""
import torch
import triton
import triton.language as tl
from torch import Tensor

# Sizes of tiles: rows x output channels, and input channels per product.
TILE_ROWS = 64
TILE_OUTPUTS = 64
TILE_CHANNELS = 32


@triton.jit
def _tap_product(total, active, passive, rows, is_row, weight, columns,
                 is_column, num_active, num_rows, channels, outputs,
                 TILE: tl.constexpr, PRECISION: tl.constexpr):
    """Return ``total`` + features of one tap x its (C, O) kernel."""
    is_active = rows < num_active
    is_row = is_row & (rows < num_rows)
    rows = tl.where(is_active, rows, rows - num_active).to(tl.int64)
    # Each row lies in one of two tables.
    feats = tl.where(is_active, active, passive) + rows * channels
    for start in range(0, channels, TILE):
        inner = start + tl.arange(0, TILE)
        is_inner = inner < channels
        taps = tl.load(
            feats[:, None] + inner[None],
            mask=is_row[:, None] & is_inner[None],
            other=0.)
        kernel = tl.load(
            weight + inner[:, None] * outputs + columns[None],
            mask=is_inner[:, None] & is_column[None],
            other=0.)
        total = tl.dot(taps, kernel, total, input_precision=PRECISION)
    return total


@triton.jit
def _convolve_kernel(active, passive, ids, weight, bias, out, signs,
                     num_active, num_rows, channels, outputs,
                     BRANCHES: tl.constexpr, RELU: tl.constexpr,
                     SIGNS: tl.constexpr, PRECISION: tl.constexpr,
                     ROWS: tl.constexpr, COLUMNS: tl.constexpr,
                     INNER: tl.constexpr):
    """Compute one (ROWS, COLUMNS) tile of the result."""
    places = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_place, is_column = places < num_active, columns < outputs
    inside = is_place[:, None] & is_column[None]
    taps = ids + places.to(tl.int64) * (1 + 8 * BRANCHES)
    result = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for branch in range(BRANCHES):
        total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
        for tap in range(9):
            # The centre is shared; the others of this branch follow it.
            column = tl.where(tap == 0, 0, 8 * branch + tap)
            rows = tl.load(taps + column, mask=is_place, other=num_rows)
            total = _tap_product(
                total, active, passive, rows, is_place,
                weight + (branch * 9 + tap) * channels * outputs, columns,
                is_column, num_active, num_rows, channels, outputs, INNER,
                PRECISION)
        total += tl.load(
            bias + branch * outputs + columns, mask=is_column,
            other=0.).to(tl.float32)[None]
        if SIGNS:
            place = places[:, None].to(tl.int64) * BRANCHES + branch
            tl.store(
                signs + place * outputs + columns[None],
                (total > 0).to(tl.int8),
                mask=inside)
        result += tl.maximum(total, 0.) if RELU else total
    tl.store(
        out + places[:, None].to(tl.int64) * outputs + columns[None],
        result.to(out.dtype.element_ty),
        mask=inside)


def convolve(active: Tensor, passive: Tensor, ids: Tensor, weight: Tensor,
             bias: Tensor, relu: bool,
             needs_signs: bool) -> tuple[Tensor, Tensor]:
    """Convolve rows with their neighbours.

    Single precision sums; half-precision inputs are multiplied as such,
    single-precision ones in TF32 if torch allows it for matrix products.

    Args:
        active: (A, C), on a CUDA device, float32, float16 or bfloat16.
        passive: (P, C).
        ids: (A, T) int32 rows, A + P is a row of zeros.
        weight: (D, 9, C, O), the centre first.
        bias: (D, O).
        relu: Apply a ReLU to each branch before the sum.
        needs_signs: Return what the backward pass of the ReLU needs.

    Returns:
        (A, O) sums, and (A, D, O) bool, where a branch is above 0, or
        (0, D, O) if not needed.

    Raises:
        TypeError: if the features are in double precision.
    """
    if active.dtype == torch.float64:
        raise TypeError('The triton backend of index_conv takes single and '
                        "half precision, got float64; use backend='torch'.")
    branches, _, channels, outputs = weight.shape
    num_active, num_rows = len(active), len(active) + len(passive)
    out = active.new_empty(num_active, outputs)
    signs = torch.empty(
        num_active if needs_signs else 0,
        branches,
        outputs,
        dtype=torch.bool,
        device=out.device)
    if not out.numel():
        return out, signs
    is_exact = not torch.backends.cuda.matmul.allow_tf32
    grid = (triton.cdiv(num_active, TILE_ROWS),
            triton.cdiv(outputs, TILE_OUTPUTS))
    _convolve_kernel[grid](
        active.contiguous(),
        passive.contiguous(),
        ids.int().contiguous(),
        weight.contiguous(),
        bias.contiguous(),
        out,
        signs.view(torch.int8),
        num_active,
        num_rows,
        channels,
        outputs,
        BRANCHES=branches,
        RELU=relu,
        SIGNS=needs_signs,
        PRECISION='ieee' if is_exact else 'tf32',
        ROWS=TILE_ROWS,
        COLUMNS=TILE_OUTPUTS,
        INNER=TILE_CHANNELS)
    return out, signs
