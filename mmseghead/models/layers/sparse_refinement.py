"""One step from a coarse sparse grid to one of twice the resolution.

A active and P passive rows of a grid, F channels before and G after the step.

Source: EffSeg, arXiv:2307.01545, section 3.3. Where the text and the authors'
parameter counts differ we follow the counts: children share a second layer.
"""
from typing import Union

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseghead.functional.pyramid_sampling import PyramidTable, sample_pyramid
from mmseghead.functional.sparse_grid import (SparseGrid, cell_centers,
                                              upsample_grid, with_features)
from mmseghead.registry import MODELS


@MODELS.register_module()
class SparseRefinement(BaseModule):
    """Divide the active cells in four and give the new ones features.

    From the parent (each child has a first layer of its own), from the
    feature pyramid at the child's centre, and, after a layer that narrows
    active and passive rows alike, from the cells around it.

    Args:
        in_channels: F.
        out_channels: G.
        pyramid_channels: C, channels of the feature pyramid.
        process: Layer that takes and returns a grid of G channels, e.g.
            ``dict(type='SparseSFM', dilations=(1, 3, 5))``.
        init_cfg: Initialisation; PyTorch's by default, as in the source.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 pyramid_channels: int,
                 process: dict,
                 init_cfg: Union[dict, list, None] = None) -> None:
        super().__init__(init_cfg)
        self.child_first = nn.Linear(in_channels, 4 * in_channels)
        self.child_second = nn.Linear(in_channels, in_channels)
        # One layer on F + C channels, so that it starts like one.
        self.fuse_first = nn.Linear(in_channels + pyramid_channels,
                                    in_channels)
        self.fuse_second = nn.Linear(in_channels, in_channels)
        self.narrow = nn.Linear(in_channels, out_channels)
        self.process = MODELS.build(dict(process, channels=out_channels))

    def forward(self, grid: SparseGrid, table: PyramidTable,
                bboxes: Tensor) -> SparseGrid:
        """Refine the active cells.

        Args:
            grid: A grid of F channels, whose active cells are refined. A may
                be 0.
            table: The feature pyramid.
            bboxes: (R, 4) xyxy boxes of the RoIs, pixels.

        Returns:
            A grid of twice the height and width, 4 * A active rows and G
            channels.
        """
        grid = self._divide(grid)
        active = self._fuse(grid, table, bboxes)
        # Rows dropped long ago narrow with the others.
        grid = with_features(grid, F.relu(self.narrow(active)),
                             F.relu(self.narrow(grid.passive)))
        return self.process(grid)

    def _divide(self, grid: SparseGrid) -> SparseGrid:
        """Return the grid of children; each adds to its parent's row."""
        parents = grid.active
        channels = parents.shape[1]
        hidden = F.relu(self.child_first(parents)).view(-1, channels)
        children = self.child_second(hidden).view(-1, 4, channels)
        children = (parents[:, None] + children).flatten(0, 1)
        return upsample_grid(grid, children)

    def _fuse(self, grid: SparseGrid, table: PyramidTable,
              bboxes: Tensor) -> Tensor:
        """Return (4 * A, F) rows that know the pyramid at their centres."""
        seen = sample_pyramid(table, cell_centers(grid, bboxes),
                              grid.row_levels, grid.image_inds)
        channels = grid.active.shape[1]
        weight = self.fuse_first.weight
        hidden = F.linear(grid.active, weight[:, :channels],
                          self.fuse_first.bias)
        hidden = F.relu(hidden + F.linear(seen, weight[:, channels:]))
        return grid.active + self.fuse_second(hidden)
