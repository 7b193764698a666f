"""Layers that process the active cells of a sparse grid.

All take a grid and return it with new active features; passive rows are read
but not changed. A active rows, C channels, D dilations.

Source: EffSeg, arXiv:2307.01545, section 3.4 and table 5. The published text
names the modules of table 5; their layers were found from their cost.
"""
import math
from typing import Sequence

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from mmseghead.functional.index_conv import (BACKENDS, CENTER, RING, conv_taps,
                                             index_conv)
from mmseghead.functional.index_deform_conv import index_deform_conv
from mmseghead.functional.sparse_grid import (SparseGrid, dense_view,
                                              gather_active, neighbor_ids,
                                              with_features)
from mmseghead.registry import MODELS


@MODELS.register_module()
class IndexConv2d(nn.Module):
    """3x3 convolution at the active cells of a sparse grid.

    With several dilations it is the sum of as many convolutions, each with a
    ReLU before the sum. Initialised as ``nn.Conv2d``.

    Args:
        in_channels: Channels of the grid.
        out_channels: Channels of the result.
        dilations: Dilation of each branch, in cells.
        backend: 'torch', or 'triton' to run the forward pass of CUDA tensors
            as one fused kernel.

    Raises:
        ValueError: if a dilation is no int >= 1, or the backend is unknown.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 dilations: Sequence[int] = (1, ),
                 backend: str = 'torch') -> None:
        super().__init__()
        if not dilations or any(
                not isinstance(d, int) or d < 1 for d in dilations):
            raise ValueError('`dilations` of IndexConv2d must be ints >= 1, '
                             f'got {dilations!r}.')
        if backend not in BACKENDS:
            raise ValueError('`backend` of IndexConv2d must be one of '
                             f'{BACKENDS}, got {backend!r}.')
        self.dilations = tuple(dilations)
        self.backend = backend
        branches = len(self.dilations)
        self.weight = nn.Parameter(
            torch.empty(branches, out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.empty(branches, out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases as ``nn.Conv2d`` does."""
        bound = 1 / math.sqrt(9 * max(self.weight.shape[2], 1))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, grid: SparseGrid) -> Tensor:
        """Convolve the active cells.

        Args:
            grid: A grid of ``in_channels`` channels.

        Returns:
            (A, out_channels) features of the active cells.
        """
        return index_conv(
            grid.active,
            grid.passive,
            neighbor_ids(grid, conv_taps(self.dilations)),
            self.weight,
            self.bias,
            relu=len(self.dilations) > 1,
            backend=self.backend)

    def forward_dense(self, x: Tensor) -> Tensor:
        """Convolve all cells of dense maps.

        Args:
            x: (R, in_channels, H, W).

        Returns:
            (R, out_channels, H, W).
        """
        maps = [
            F.conv2d(x, weight, bias, padding=dilation, dilation=dilation)
            for weight, bias, dilation in zip(self.weight, self.bias,
                                              self.dilations)
        ]
        return maps[0] if len(maps) == 1 else sum(map(F.relu, maps))


@MODELS.register_module()
class SparseSFM(nn.Module):
    """Semantic fusion module: three dilations at once, at active cells.

    Linear, ReLU; the sum of dilated 3x3 convolutions, each with a ReLU; twice
    Linear, ReLU. No residual. Active neighbours contribute after the first
    layer, passive ones as they are.

    Source: EffSeg, section 3.4; RefineMask, arXiv:2104.08569, for the
    module's dense form. EffSeg's has no residual and no average branch.

    Args:
        channels: Channels of the grid and of the result.
        dilations: Dilation of each branch, in cells.
        backend: Of the convolution, see `IndexConv2d`.
    """

    def __init__(self,
                 channels: int,
                 dilations: Sequence[int] = (1, 3, 5),
                 backend: str = 'torch') -> None:
        super().__init__()
        self.reduce = nn.Linear(channels, channels)
        self.conv = IndexConv2d(channels, channels, dilations, backend)
        self.fuse = nn.Sequential(
            nn.Linear(channels, channels), nn.ReLU(),
            nn.Linear(channels, channels), nn.ReLU())

    def forward(self, grid: SparseGrid) -> SparseGrid:
        """Process the active cells.

        Args:
            grid: A grid.

        Returns:
            The grid with new active features.
        """
        grid = with_features(grid, F.relu(self.reduce(grid.active)))
        return with_features(grid, self.fuse(self.conv(grid)))


@MODELS.register_module()
class DenseSFM(SparseSFM):
    """The semantic fusion module computed at all cells, with dense kernels.

    On a grid it gives what `SparseSFM` gives; their weights are
    interchangeable. It is the reference of the sparse one and the module of
    the dense ablation, where all cells are active.

    Source: EffSeg, table 5 ("Dense SFM").

    Args:
        channels: Channels of the grid and of the result.
        dilations: Dilation of each branch, in cells.
        backend: Unused here, as `SparseSFM`.
    """

    def forward(self, grid: SparseGrid) -> SparseGrid:
        """Process the active cells, by way of a dense map.

        Args:
            grid: A grid.

        Returns:
            The grid with new active features.
        """
        grid = with_features(grid, F.relu(self.reduce(grid.active)))
        maps = self.conv.forward_dense(dense_view(grid))
        return with_features(grid, self.fuse(gather_active(maps, grid)))

    def forward_dense(self, x: Tensor) -> Tensor:
        """Process dense maps.

        Args:
            x: (R, channels, H, W).

        Returns:
            (R, channels, H, W).
        """
        x = self.conv.forward_dense(F.relu(_pointwise(self.reduce, x)))
        for linear in (self.fuse[0], self.fuse[2]):
            x = F.relu(_pointwise(linear, x))
        return x


def _pointwise(linear: nn.Linear, x: Tensor) -> Tensor:
    """Apply a linear layer to the channels of maps."""
    return F.conv2d(x, linear.weight[:, :, None, None], linear.bias)


def _feed_forward(channels: int) -> nn.Sequential:
    """Return the layers that follow the first one of all ablations."""
    return nn.Sequential(
        nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.ReLU(),
        nn.Linear(4 * channels, channels))


@MODELS.register_module()
class SparseMLP(nn.Module):
    """A perceptron on each active cell, which sees no neighbour.

    Linear, LayerNorm, Linear to 4 times the channels, ReLU, Linear.

    Source: EffSeg, table 5 ("MLP").

    Args:
        channels: Channels of the grid and of the result.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Linear(channels, channels)
        self.feed_forward = _feed_forward(channels)

    def forward(self, grid: SparseGrid) -> SparseGrid:
        """Process the active cells.

        Args:
            grid: A grid.

        Returns:
            The grid with new active features.
        """
        feats = self.feed_forward(self.first(grid.active))
        return with_features(grid, feats)


@MODELS.register_module()
class SparseConv(nn.Module):
    """One 3x3 convolution and a perceptron on each active cell.

    Convolution, LayerNorm, Linear to 4 times the channels, ReLU, Linear.

    Source: EffSeg, table 5 ("Conv").

    Args:
        channels: Channels of the grid and of the result.
        dilation: Dilation of the convolution, in cells.
        backend: Of the convolution, see `IndexConv2d`.
    """

    def __init__(self,
                 channels: int,
                 dilation: int = 1,
                 backend: str = 'torch') -> None:
        super().__init__()
        self.conv = IndexConv2d(channels, channels, (dilation, ), backend)
        self.feed_forward = _feed_forward(channels)

    def forward(self, grid: SparseGrid) -> SparseGrid:
        """Process the active cells.

        Args:
            grid: A grid.

        Returns:
            The grid with new active features.
        """
        return with_features(grid, self.feed_forward(self.conv(grid)))


@MODELS.register_module()
class SparseDeformConv(SparseConv):
    """One deformable 3x3 convolution and a perceptron on each active cell.

    As `SparseConv`, with taps moved by offsets that a 3x3 convolution
    predicts. It starts with zero weights: at first the taps are in place.

    Source: EffSeg, table 5 ("DeformConv"). Neither layers nor code are
    published; offsets from a 3x3 convolution as in arXiv:1703.06211.

    Args:
        channels: Channels of the grid and of the result.
        dilation: Dilation of both convolutions, in cells.
        backend: Of the convolution that predicts the offsets.
    """

    def __init__(self,
                 channels: int,
                 dilation: int = 1,
                 backend: str = 'torch') -> None:
        super().__init__(channels, dilation, backend)
        self.offset = IndexConv2d(channels, 18, (dilation, ), backend)
        nn.init.zeros_(self.offset.weight)
        nn.init.zeros_(self.offset.bias)

    def forward(self, grid: SparseGrid) -> SparseGrid:
        """Process the active cells.

        Args:
            grid: A grid.

        Returns:
            The grid with new active features.
        """
        offsets = self.offset(grid).view(-1, 9, 2)
        # Half precision has no fractions of a cell left at column 100.
        offsets = offsets.to(
            torch.promote_types(offsets.dtype, torch.float32))
        steps = offsets.new_tensor(conv_taps(self.conv.dilations))
        weight = self.conv.weight[0].flatten(2)[..., [CENTER, *RING]]
        feats = index_deform_conv(grid, offsets + steps,
                                  weight.transpose(1, 2).flatten(1),
                                  self.conv.bias[0])
        return with_features(grid, self.feed_forward(feats))
