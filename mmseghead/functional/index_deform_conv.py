"""Deformable convolution whose taps are found through an index map.

A active rows, T taps, C input and O output channels.

Source: EffSeg, arXiv:2307.01545, table 5 ("DeformConv"), of which no details
are published; Deformable ConvNets, arXiv:1703.06211, for the sampling.
"""
import torch
import torch.nn.functional as F
from torch import Tensor

from .index_conv import compute_dtype
from .sparse_grid import SparseGrid


def sample_rows(grid: SparseGrid, steps: Tensor) -> tuple[Tensor, Tensor]:
    """Find the four rows around each sampled position.

    Args:
        grid: A grid.
        steps: (A, T, 2) steps (dy, dx) from the centre of each active cell,
            in cells, float32 at least.

    Returns:
        (A * T, 4) int64 rows in [0, A + P], A + P outside of the grid, and
        (A * T, 4) weights, through which steps get their gradient.
    """
    height, width = grid.size
    cells = torch.stack([grid.ys, grid.xs], 1)[:, None].to(steps.dtype)
    cells = cells + steps
    low = cells.detach().floor()
    share = cells - low
    ys, xs = low[..., 0, None], low[..., 1, None]
    ys = torch.cat([ys, ys, ys + 1, ys + 1], 2)  # (A, T, 4)
    xs = torch.cat([xs, xs + 1, xs, xs + 1], 2)
    down, right = share[..., 0], share[..., 1]
    weights = torch.stack([(1 - down) * (1 - right), (1 - down) * right,
                           down * (1 - right), down * right], 2)
    inside = (ys >= 0) & (ys < height) & (xs >= 0) & (xs < width)
    # Not finite or far away: the conversion to integers would be undefined.
    ys, xs = (torch.where(inside, value, 0).long() for value in (ys, xs))
    places = (grid.roi_inds[:, None, None] * height + ys) * width + xs
    rows = grid.index.flatten().index_select(0, places.flatten()).long()
    outside = grid.num_active + grid.num_passive
    rows = torch.where(inside.flatten(), rows, outside)
    return rows.view(-1, 4), weights.reshape(-1, 4)


def index_deform_conv(grid: SparseGrid, steps: Tensor, weight: Tensor,
                      bias: Tensor) -> Tensor:
    """Convolve active rows with rows sampled around them.

    Args:
        grid: A grid with C channels.
        steps: (A, T, 2) steps (dy, dx) of the taps, in cells; computed with
            in single precision at least.
        weight: (O, T * C), tap-major.
        bias: (O,).

    Returns:
        (A, O). Under autocast the product runs in the dtype of autocast.
    """
    if not grid.num_active:
        # Connected to all inputs: distributed training waits for each.
        taps = grid.active[:, None] * steps.sum(2, keepdim=True)
        return F.linear(taps.flatten(1).to(weight.dtype), weight, bias)
    steps = steps.to(torch.promote_types(steps.dtype, torch.float32))
    rows, weights = sample_rows(grid, steps)
    dtype = compute_dtype(grid.active)
    table = torch.cat([grid.active, grid.passive]).to(dtype)
    table = torch.cat([table, table.new_zeros(1, table.shape[1])])
    taps = F.embedding_bag(
        rows, table, mode='sum', per_sample_weights=weights.to(dtype))
    return F.linear(taps.view(grid.num_active, -1), weight, bias)
