"""SPS against the spec's worked example, a slow loop and its invariants."""
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mmseghead.functional import sparse_grid as sps


def refine(grid, budget, scores=None, image_inds=None):
    """Keep the best rows and divide them."""
    if scores is None:
        scores = torch.arange(grid.num_active).float().sin()
    kept = sps.select_rows(scores, budget, image_inds)
    return sps.upsample_grid(sps.keep_rows(grid, kept))


@st.composite
def grids(draw, max_rois=4):
    """A grid of odd size with some passive rows, in double precision."""
    num_rois, height, width = draw(
        st.tuples(
            st.integers(0, max_rois), st.integers(1, 5), st.integers(1, 6)))
    source = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    feats = torch.randn(num_rois, 3, height, width, generator=source).double()
    share = draw(st.sampled_from([0, .3, .7, 1]))
    mask = torch.rand(num_rois, height, width, generator=source) < share
    images = torch.randint(0, 3, (num_rois, ), generator=source)
    return sps.masked_grid(feats, mask, images)


def check(grid):
    """Check what holds for every state."""
    ids = grid.index.flatten().long()
    num_rows = grid.num_active + grid.num_passive
    counts = torch.bincount(ids, minlength=num_rows)
    assert len(counts) == num_rows
    assert (counts[:grid.num_active] == 1).all()
    assert (counts > 0).all()
    rows = torch.arange(grid.num_active)
    assert torch.equal(ids[grid.places], rows)
    assert torch.equal(
        grid.index[grid.roi_inds, grid.ys, grid.xs].long(), rows)
    # No row belongs to two RoIs.
    owner = torch.full((num_rows, ), -1)
    for roi, cells in enumerate(grid.index):
        own = cells.unique().long()
        assert (owner[own] == -1).all()
        owner[own] = roi
    assert grid.index.dtype == torch.int32
    assert torch.equal(grid.image_inds, grid.batch_inds[grid.roi_inds])
    return counts


def test_worked_example():
    feats = torch.tensor([[10., 11.], [12., 13.]])[None, None]
    grid = sps.keep_rows(sps.dense_grid(feats), torch.tensor([2]))
    assert grid.passive[:, 0].tolist() == [10, 11, 13]
    assert grid.index.tolist() == [[[1, 2], [0, 3]]]
    grid = sps.upsample_grid(grid)
    assert grid.index.tolist() == [[[4, 4, 5, 5], [4, 4, 5, 5], [0, 1, 6, 6],
                                    [2, 3, 6, 6]]]
    assert grid.xs.tolist() == [0, 1, 0, 1]
    assert grid.ys.tolist() == [2, 2, 3, 3]

    grid = sps.with_features(grid, torch.tensor([[20.], [21], [22], [23]]))
    grid = sps.keep_rows(grid, torch.tensor([3]))
    assert grid.passive[:, 0].tolist() == [10, 11, 13, 20, 21, 22]
    # Ids of passive rows are 3 lower than in the source before the upsampling
    # there: its ids leave room for the children.
    assert grid.index.tolist() == [[[1, 1, 2, 2], [1, 1, 2, 2], [4, 5, 3, 3],
                                    [6, 0, 3, 3]]]
    grid = sps.upsample_grid(grid)
    assert grid.index[0, 6:8, 2:4].tolist() == [[0, 1], [2, 3]]
    assert grid.index[0, ::2, ::2].tolist() == [[4, 4, 5, 5], [4, 4, 5, 5],
                                                [7, 8, 6, 6], [9, 0, 6, 6]]
    assert (grid.num_active, grid.num_passive) == (4, 6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 4), st.integers(0, 60), st.integers(0, 1000))
def test_invariants_of_three_refinements(num_rois, budget, seed):
    torch.manual_seed(seed)
    height, width = 3, 5
    grid = sps.dense_grid(torch.randn(num_rois, 2, height, width))
    dropped_at = []
    for stage in range(1, 4):
        before, passive = grid.num_active, grid.num_passive
        grid = refine(grid, budget, torch.randn(before))
        assert grid.num_active == 4 * min(budget, before)
        dropped_at += [stage] * (grid.num_passive - passive)
        assert grid.size == (height << stage, width << stage)
        counts = check(grid)[grid.num_active:]
        expected = [4**(stage - start + 1) for start in dropped_at]
        assert counts.tolist() == expected
        cells = num_rois * height * width * 4**stage
        assert grid.num_active + sum(expected) == cells


@settings(deadline=None, max_examples=40)
@given(grids(), st.integers(0, 9))
def test_keeping_and_dividing_leave_the_dense_map(grid, seed):
    torch.manual_seed(seed)
    dense = sps.dense_view(grid)
    kept = sps.keep_rows(grid, torch.rand(grid.num_active) < .5)
    check(kept)
    assert torch.equal(sps.dense_view(kept), dense)
    for scale in (1, 2, 3):
        fine = sps.upsample_grid(kept, scale=scale)
        check(fine)
        wide = dense.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
        assert torch.equal(sps.dense_view(fine), wide)
        if dense.numel():
            torch.testing.assert_close(
                F.avg_pool2d(sps.dense_view(fine), scale), dense)


@settings(deadline=None, max_examples=40)
@given(grids(), st.integers(0, 9))
def test_keep_rows_as_a_loop(grid, seed):
    torch.manual_seed(seed)
    kept = torch.rand(grid.num_active) < .5
    new = sps.keep_rows(grid, kept.nonzero()[:, 0])
    active = [row for row, keep in enumerate(kept.tolist()) if keep]
    dropped = [row for row, keep in enumerate(kept.tolist()) if not keep]
    passive = list(range(grid.num_active, grid.num_active + grid.num_passive))
    order = active + passive + dropped
    lut = {row: place for place, row in enumerate(order)}
    expected = [lut[row] for row in grid.index.flatten().tolist()]
    assert new.index.flatten().tolist() == expected
    table = torch.cat([grid.active, grid.passive])
    assert torch.equal(torch.cat([new.active, new.passive]), table[order])
    assert new.num_active == len(active)


def test_children_are_ordered_and_levels_end_at_the_finest():
    grid = sps.dense_grid(
        torch.randn(3, 2, 2, 5),
        batch_inds=torch.tensor([4, 0, 1]),
        levels=torch.tensor([0, 3, 1]))
    fine = sps.upsample_grid(grid, torch.arange(120.)[:, None])
    assert fine.levels.tolist() == [0, 2, 0]
    assert fine.batch_inds.tolist() == [4, 0, 1]
    for row in range(0, 120, 7):
        parent, child = divmod(row, 4)
        assert fine.roi_inds[row] == grid.roi_inds[parent]
        assert fine.ys[row] == 2 * grid.ys[parent] + child // 2
        assert fine.xs[row] == 2 * grid.xs[parent] + child % 2
    assert torch.equal(fine.index[0, :2, :4],
                       torch.tensor([[0, 1, 4, 5], [2, 3, 6, 7]]).int())
    check(fine)


def test_permuted_rois_give_permuted_maps():
    torch.manual_seed(0)
    feats, order = torch.randn(5, 3, 4, 6), torch.tensor([3, 0, 4, 1, 2])
    # Scores from features: the same cells are chosen wherever they stand.
    views = []
    for maps in (feats, feats[order]):
        grid = sps.dense_grid(maps)
        for _ in range(2):
            grid = refine(grid, 17, grid.active[:, 0] + grid.xs * .01)
            extra = torch.stack([grid.xs, grid.ys, grid.xs * grid.ys], 1)
            grid = sps.with_features(grid, grid.active + .1 * extra)
        views.append(sps.dense_view(grid))
    assert torch.equal(views[0][order], views[1])


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=40),
    st.integers(0, 12))
def test_budget_per_image_as_a_loop(rows, budget):
    # Few distinct scores: ties are the rule.
    images = torch.tensor([row[0] for row in rows], dtype=torch.int64)
    scores = torch.tensor([float(row[1]) for row in rows])
    kept = sps.select_rows(scores, budget, images).tolist()
    expected = []
    for image in range(4):
        own = [i for i, row in enumerate(rows) if row[0] == image]
        own.sort(key=lambda i: (-rows[i][1], i))
        expected += own[:budget]
    assert kept == sorted(expected)
    joint = sorted(range(len(rows)), key=lambda i: (-rows[i][1], i))
    assert sps.select_rows(scores, budget).tolist() == sorted(joint[:budget])


def test_batch_selects_what_single_images_select():
    torch.manual_seed(0)
    feats = torch.randn(6, 2, 3, 4)
    images = torch.tensor([1, 0, 1, 1, 2, 0])
    batch = sps.dense_grid(feats, images)
    batch = refine(batch, 9, batch.active[:, 0], batch.image_inds)
    view = sps.dense_view(batch)
    for image in range(3):
        own = images == image
        single = sps.dense_grid(feats[own])
        single = refine(single, 9, single.active[:, 0])
        assert torch.equal(sps.dense_view(single), view[own])
        assert (batch.image_inds == image).sum() == single.num_active


def test_selection_edges():
    scores = torch.tensor([.2, .9, .9, .1], requires_grad=True)
    assert sps.select_rows(scores, 0).tolist() == []
    assert sps.select_rows(scores, 1).tolist() == [1]
    assert sps.select_rows(scores, 10**9).tolist() == [0, 1, 2, 3]
    assert sps.select_rows(scores, 3, min_score=.5).tolist() == [1, 2]
    assert sps.select_rows(scores, 3, min_score=.2).tolist() == [0, 1, 2]
    assert sps.select_rows(torch.empty(0), 3).tolist() == []
    empty = torch.empty(0, dtype=torch.int64)
    assert sps.select_rows(torch.empty(0), 3, empty).tolist() == []
    with pytest.raises(ValueError, match='`budget`.*got -1'):
        sps.select_rows(scores, -1)


@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16])
def test_half_precision_scores_and_features(dtype):
    grid = sps.dense_grid(torch.randn(2, 3, 4, 5).to(dtype))
    grid = refine(grid, 7, grid.active[:, 0])
    assert grid.active.dtype == grid.passive.dtype == dtype
    check(grid)


@settings(deadline=None, max_examples=30)
@given(grids(), st.sampled_from([(1, ), (1, 3, 5), (2, )]))
def test_neighbors_as_a_loop(grid, dilations):
    taps = [(dy * d, dx * d) for d in dilations for dy in (-1, 0, 1)
            for dx in (-1, 0, 1)]
    ids = sps.neighbor_ids(grid, taps)
    assert ids.dtype == torch.int32 and ids.shape == (grid.num_active,
                                                      len(taps))
    height, width = grid.size
    outside = grid.num_active + grid.num_passive
    for row in range(grid.num_active):
        roi, y, x = (int(v[row]) for v in (grid.roi_inds, grid.ys, grid.xs))
        for tap, (dy, dx) in enumerate(taps):
            inside = 0 <= y + dy < height and 0 <= x + dx < width
            expected = grid.index[roi, y + dy, x + dx] if inside else outside
            assert ids[row, tap] == expected


def test_no_taps():
    grid = sps.dense_grid(torch.randn(2, 3, 4, 5))
    assert sps.neighbor_ids(grid, []).shape == (40, 0)


def test_write_and_read_active_cells():
    torch.manual_seed(0)
    mask = torch.rand(3, 4, 5) < .4
    grid = sps.masked_grid(torch.randn(3, 2, 4, 5), mask)
    maps = torch.randn(3, 6, 4, 5, requires_grad=True)
    values = torch.randn(grid.num_active, 6, requires_grad=True)
    out = sps.scatter_active(maps, grid, values)
    assert torch.equal(out.permute(0, 2, 3, 1)[mask], values)
    assert torch.equal(
        out.permute(0, 2, 3, 1)[~mask],
        maps.permute(0, 2, 3, 1)[~mask])
    assert torch.equal(sps.gather_active(out, grid), values)
    out.sum().backward()
    assert (values.grad == 1).all()
    assert torch.equal(maps.grad[:, 0], (~mask).float())
    logits = sps.scatter_active(maps[:, :1], grid, values[:, 0])
    assert torch.equal(logits[:, 0][mask], values[:, 0])


def test_masked_grid():
    torch.manual_seed(0)
    feats, mask = torch.randn(3, 2, 4, 5), torch.rand(3, 4, 5) < .4
    grid = sps.masked_grid(feats, mask)
    assert torch.equal(sps.dense_view(grid), feats)
    assert torch.equal(grid.active, feats.permute(0, 2, 3, 1)[mask])
    assert torch.equal(grid.passive, feats.permute(0, 2, 3, 1)[~mask])
    with pytest.raises(ValueError, match='`mask` of masked_grid'):
        sps.masked_grid(feats, mask.transpose(1, 2))


@pytest.mark.parametrize('dtype', [torch.half, torch.float, torch.double])
def test_cell_centers(dtype):
    grid = sps.masked_grid(
        torch.zeros(2, 1, 3, 4),
        torch.tensor([0, 1]).view(2, 1, 1).expand(2, 3, 4) > 0)
    boxes = torch.tensor([[0, 0, 1, 1], [1000, 20, 1008, 23]]).to(dtype)
    centers = sps.cell_centers(grid, boxes)
    assert centers.dtype == torch.promote_types(dtype, torch.float)
    assert centers.tolist() == [[1001 + 2 * x, 20.5 + y] for y in range(3)
                                for x in range(4)]


def test_no_rois():
    grid = sps.dense_grid(torch.zeros(0, 3, 4, 5))
    assert sps.neighbor_ids(grid, [(0, 0), (1, 2)]).shape == (0, 2)
    grid = refine(grid, 5)
    check(grid)
    assert grid.size == (8, 10)
    assert sps.dense_view(grid).shape == (0, 3, 8, 10)
    assert sps.cell_centers(grid, torch.zeros(0, 4)).shape == (0, 2)
    assert sps.scatter_active(
        torch.zeros(0, 2, 8, 10), grid, torch.zeros(0, 2)).shape[0] == 0


def test_gradient_reaches_kept_and_dropped_rows():
    feats = torch.randn(2, 3, 4, 5, requires_grad=True)
    grid = refine(sps.dense_grid(feats), 7)
    sps.dense_view(grid).sum().backward()
    assert (feats.grad == 4).all()


def test_wrong_sizes():
    grid = sps.dense_grid(torch.zeros(2, 3, 4, 5))
    with pytest.raises(ValueError, match='must have 40 and 0 rows, got'):
        sps.with_features(grid, torch.zeros(39, 3))
    with pytest.raises(ValueError, match='must have 160 rows, got 40'):
        sps.upsample_grid(grid, grid.active)
    with pytest.raises(ValueError, match='`scale` of upsample_grid'):
        sps.upsample_grid(grid, scale=0)
