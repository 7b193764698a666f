"""Structure-preserving sparsity (SPS): grids that are fine only in places.

Each RoI is an (H, W) grid. A cell is *active*, with features of its own that
are still worked on, or *passive*: it points at a row that stays as it was
when the cell was dropped. An index map holds the row of each cell, so that
active cells still find all their neighbours.

R RoIs, A active and P passive rows, F channels, T taps. Ids in [0, A) are
active rows, ids in [A, A + P) are passive ones, A + P is no cell (outside of
the grid). Cells are addressed [y, x] in tensors and (x, y) in points.

Source: EffSeg, arXiv:2307.01545, section 3.2.
"""
from dataclasses import dataclass, replace
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class SparseGrid:
    """State of SPS. What is equal in a whole RoI is kept once per RoI.

    Attributes:
        active: (A, F) features of the active cells.
        passive: (P, F) features of the rows that were dropped. One row serves
            all cells that the dropped cell was divided into.
        index: (R, H, W) int32, the row of each cell, in [0, A + P).
        places: (A,) int64, the flat position in ``index`` of each active
            row: ``index.flatten()[places] == arange(A)``.
        batch_inds: (R,) int64, the image of each RoI.
        levels: (R,) int64, the pyramid level to sample next, 0 is finest.
    """
    active: Tensor
    passive: Tensor
    index: Tensor
    places: Tensor
    batch_inds: Tensor
    levels: Tensor

    @property
    def num_active(self) -> int:
        return self.active.shape[0]

    @property
    def num_passive(self) -> int:
        return self.passive.shape[0]

    @property
    def num_rois(self) -> int:
        return self.index.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        return self.index.shape[1], self.index.shape[2]

    @property
    def roi_inds(self) -> Tensor:
        return self.places // max(self.size[0] * self.size[1], 1)

    @property
    def ys(self) -> Tensor:
        return self.places // max(self.size[1], 1) % max(self.size[0], 1)

    @property
    def xs(self) -> Tensor:
        return self.places % max(self.size[1], 1)

    @property
    def image_inds(self) -> Tensor:
        return self.batch_inds[self.roi_inds]

    @property
    def row_levels(self) -> Tensor:
        return self.levels[self.roi_inds]


def dense_grid(feats: Tensor,
               batch_inds: Optional[Tensor] = None,
               levels: Optional[Tensor] = None) -> SparseGrid:
    """Make all cells active.

    Args:
        feats: (R, F, H, W) features, R may be 0.
        batch_inds: (R,) image of each RoI; all of image 0 by default.
        levels: (R,) pyramid level of each RoI; 0 by default.

    Returns:
        A = R * H * W active rows in the order (RoI, y, x), no passive ones.
    """
    num_rois, channels, height, width = feats.shape
    rows = feats.permute(0, 2, 3, 1).reshape(-1, channels)
    places = torch.arange(rows.shape[0], device=feats.device)
    return SparseGrid(
        active=rows,
        passive=rows.new_zeros(0, channels),
        index=places.to(torch.int32).view(num_rois, height, width),
        places=places,
        batch_inds=_per_roi(batch_inds, feats),
        levels=_per_roi(levels, feats))


def masked_grid(feats: Tensor,
                mask: Tensor,
                batch_inds: Optional[Tensor] = None,
                levels: Optional[Tensor] = None) -> SparseGrid:
    """Make the cells of a mask active, each other one a passive row.

    Args:
        feats: (R, F, H, W) features.
        mask: (R, H, W) bool, the active cells; may be all or none.
        batch_inds: (R,) image of each RoI; all of image 0 by default.
        levels: (R,) pyramid level of each RoI; 0 by default.

    Returns:
        Active and passive rows each in the order (RoI, y, x).

    Raises:
        ValueError: if mask and features differ in R, H or W.
    """
    if mask.shape != feats.shape[:1] + feats.shape[2:]:
        raise ValueError(
            '`mask` of masked_grid must be (R, H, W) of `feats`, got '
            f'{tuple(mask.shape)} for {tuple(feats.shape)}.')
    grid = dense_grid(feats, batch_inds, levels)
    return keep_rows(grid, mask.flatten().nonzero()[:, 0])


def _per_roi(values: Optional[Tensor], feats: Tensor) -> Tensor:
    """Return (R,) int64 values, zeros by default."""
    if values is None:
        values = feats.new_zeros(feats.shape[0])
    return values.to(device=feats.device, dtype=torch.int64)


def with_features(grid: SparseGrid,
                  active: Tensor,
                  passive: Optional[Tensor] = None) -> SparseGrid:
    """Exchange the features and keep the structure.

    Args:
        grid: A grid of A active and P passive rows.
        active: (A, G) new features.
        passive: (P, G) new features; the old ones by default.

    Returns:
        The grid with these features.

    Raises:
        ValueError: if a number of rows differs.
    """
    passive = grid.passive if passive is None else passive
    rows = active.shape[0], passive.shape[0]
    if rows != (grid.num_active, grid.num_passive):
        raise ValueError(
            '`active` and `passive` of with_features must have '
            f'{grid.num_active} and {grid.num_passive} rows, got {rows}.')
    return replace(grid, active=active, passive=passive)


def select_rows(scores: Tensor,
                budget: int,
                image_inds: Optional[Tensor] = None,
                min_score: Optional[float] = None) -> Tensor:
    """Choose the rows with the highest scores, up to a number per image.

    Of equal scores the first row wins, so that a choice does not depend on
    what else is in the batch. No gradient passes.

    Args:
        scores: (A,), higher is more worth refining; NaN is highest.
        budget: Rows to keep, >= 0, of each image or of all together. It is a
            cap: where there are fewer rows all of them are kept.
        image_inds: (A,) image of each row; ``None`` for a joint budget.
        min_score: Rows below this are never kept. Not in the paper.

    Returns:
        (K,) int64 rows in ascending order.

    Raises:
        ValueError: if the budget is negative.
    """
    if budget < 0:
        raise ValueError(
            f'`budget` of select_rows must be >= 0, got {budget!r}.')
    scores = scores.detach()
    order = scores.argsort(descending=True, stable=True)
    if image_inds is None:
        kept = order[:budget]
    else:
        images, by_image = image_inds[order].sort(stable=True)
        first = torch.searchsorted(images, images)
        ranks = torch.arange(len(images), device=images.device) - first
        kept = order[by_image[ranks < budget]]
    if min_score is not None:
        kept = kept[~(scores[kept] < min_score)]
    return kept.sort().values


def keep_rows(grid: SparseGrid, kept: Tensor) -> SparseGrid:
    """Keep some active rows; the others become the last passive rows.

    Kept rows, old passive rows and dropped rows each stay in their order.

    Args:
        grid: A grid of A active and P passive rows.
        kept: (K,) int64, distinct rows in [0, A) in ascending order, or (A,)
            bool.

    Returns:
        A grid of K active and P + A - K passive rows, same cells.

    Source: EffSeg, section 3.2; step 2 of the refinement.
    """
    if kept.dtype == torch.bool:
        kept = kept.nonzero()[:, 0]
    num_active, num_kept = grid.num_active, kept.shape[0]
    if num_kept == num_active:
        return grid
    rows = torch.arange(num_active, device=kept.device)
    is_dropped = torch.ones_like(rows).index_fill_(0, kept, 0)
    # Place of each row in (kept, dropped); sizes are known on the host.
    dropped_before = is_dropped.cumsum(0) - is_dropped
    order = torch.where(is_dropped.bool(), num_kept + dropped_before,
                        rows - dropped_before)
    dropped = torch.empty_like(rows).scatter_(0, order, rows)[num_kept:]
    passive_ids = torch.arange(
        num_kept, num_kept + grid.num_passive, device=kept.device)
    new_ids = torch.cat(
        [order + is_dropped * grid.num_passive, passive_ids])
    index = new_ids.int().index_select(0, grid.index.flatten())
    return replace(
        grid,
        active=grid.active.index_select(0, kept),
        passive=torch.cat(
            [grid.passive, grid.active.index_select(0, dropped)]),
        index=index.view_as(grid.index),
        places=grid.places.index_select(0, kept))


def upsample_grid(grid: SparseGrid,
                  active: Optional[Tensor] = None,
                  scale: int = 2) -> SparseGrid:
    """Divide each cell into ``scale`` x ``scale`` ones.

    An active row becomes ``scale**2`` rows, in the order top-left, top-right,
    ..., bottom-right. Passive rows stay; more cells point at them. The level
    of each RoI becomes one finer, down to 0.

    Args:
        grid: A grid of A active rows of (H, W) cells.
        active: (A * scale**2, G) features of the new cells; by default each
            has those of the cell it came from.
        scale: Cells per old cell and axis, >= 1.

    Returns:
        A grid of (scale * H, scale * W) cells.

    Raises:
        ValueError: if the scale or the number of new rows is wrong.
    """
    if scale < 1:
        raise ValueError(
            f'`scale` of upsample_grid must be >= 1, got {scale!r}.')
    children, num_active = scale * scale, grid.num_active
    if active is None:
        active = grid.active.repeat_interleave(children, 0)
    if active.shape[0] != children * num_active:
        raise ValueError(
            '`active` of upsample_grid must have '
            f'{children * num_active} rows, got {active.shape[0]}.')
    num_rois, (height, width) = grid.num_rois, grid.size
    device = grid.index.device
    child = torch.arange(
        children, dtype=torch.int32, device=device).view(scale, 1, scale)
    old = grid.index[:, :, None, :, None]  # (R, H, 1, W, 1)
    index = torch.where(old < num_active, old * children + child,
                        old + (children - 1) * num_active)
    # The old place is (r * H + y) * W + x.
    steps = torch.arange(scale, device=device)
    step = steps[:, None] * (scale * width) + steps  # (scale, scale)
    xs = grid.xs
    corner = (grid.places - xs) * children + xs * scale
    return replace(
        grid,
        active=active,
        index=index.reshape(num_rois, scale * height, scale * width),
        places=(corner[:, None] + step.flatten()).flatten(),
        levels=(grid.levels - 1).clamp(min=0))


def neighbor_ids(grid: SparseGrid, taps: Sequence[tuple[int, int]]) -> Tensor:
    """Return the rows of the cells around each active cell.

    The index map is padded with the id of no cell, so that each neighbour is
    one constant step away.

    Args:
        grid: A grid.
        taps: T steps (dy, dx), in cells.

    Returns:
        (A, T) int32 in [0, A + P], where A + P is outside of the grid.
    """
    outside = grid.num_active + grid.num_passive
    reach = max((abs(step) for tap in taps for step in tap), default=0)
    padded = F.pad(grid.index, [reach] * 4, value=outside)
    width = grid.size[1] + 2 * reach
    start = (grid.roi_inds * padded.shape[1] + grid.ys + reach) * width
    start = start + grid.xs + reach
    steps = [dy * width + dx for dy, dx in taps]
    ids = start[:, None] + start.new_tensor(steps)
    return padded.flatten().index_select(0, ids.flatten()).view(ids.shape)


def dense_view(grid: SparseGrid) -> Tensor:
    """Spread the rows over all cells.

    Args:
        grid: A grid.

    Returns:
        (R, F, H, W) features, those of passive rows repeated.
    """
    rows = torch.cat([grid.active, grid.passive])
    dense = rows.index_select(0, grid.index.flatten())
    dense = dense.view(*grid.index.shape, rows.shape[1])
    return dense.permute(0, 3, 1, 2)


def gather_active(maps: Tensor, grid: SparseGrid) -> Tensor:
    """Read dense maps at the active cells.

    Args:
        maps: (R, C, H, W).
        grid: A grid of R RoIs with (H, W) cells.

    Returns:
        (A, C).
    """
    rows = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])
    return rows.index_select(0, grid.places)


def scatter_active(maps: Tensor, grid: SparseGrid, values: Tensor) -> Tensor:
    """Write values at the active cells of dense maps.

    Args:
        maps: (R, C, H, W), left unchanged.
        grid: A grid of R RoIs with (H, W) cells.
        values: (A, C), or (A,) where C is 1.

    Returns:
        (R, C, H, W) copy, dtype of the maps.
    """
    num_rois, channels, height, width = maps.shape
    rows = maps.permute(0, 2, 3, 1).reshape(-1, channels)
    values = values.reshape(-1, channels).to(maps.dtype)
    rows = rows.index_copy(0, grid.places, values)
    rows = rows.view(num_rois, height, width, channels)
    return rows.permute(0, 3, 1, 2)


def cell_centers(grid: SparseGrid, bboxes: Tensor) -> Tensor:
    """Return the centres of the active cells in the image.

    Args:
        grid: A grid of R RoIs.
        bboxes: (R, 4) xyxy, pixels.

    Returns:
        (A, 2) float32 or float64 points (x, y), pixels.
    """
    dtype = torch.promote_types(bboxes.dtype, torch.float32)
    boxes = bboxes.to(dtype).index_select(0, grid.roi_inds)
    cells = torch.stack([grid.xs, grid.ys], 1).to(dtype)
    sizes = cells.new_tensor(grid.size[::-1])
    return boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) * (cells + .5) / sizes
