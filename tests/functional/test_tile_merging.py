"""Tiles of an image find what the whole image holds."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_util

from mmseghead.functional.mask_rle import encode_mask
from mmseghead.functional.tile_merging import (TileDetections, merge_tiles,
                                               plan_tiles)

SIZE = (90, 131)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200), st.integers(1, 90),
       st.floats(0, 0.95))
def test_tiles_cover_the_image(height, width, tile, overlap):
    tiles = plan_tiles((height, width), tile, overlap)
    covered = np.zeros((height, width), bool)
    for top, left, bottom, right in tiles:
        assert 0 <= top < bottom <= height and 0 <= left < right <= width
        assert bottom - top == min(tile, height)
        assert right - left == min(tile, width)
        covered[top:bottom, left:right] = True
    assert covered.all() and len(set(tiles)) == len(tiles)
    for begins in ({t[0] for t in tiles}, {t[1] for t in tiles}):
        begins = sorted(begins)
        for one, other in zip(begins, begins[1:]):
            # A step is a whole number of pixels, at least one.
            assert one + tile - other >= min(tile * overlap, tile - 1) - 1


def test_plans_by_hand():
    assert plan_tiles((50, 130), 60, 0.25) == [
        (0, 0, 50, 60), (0, 35, 50, 95), (0, 70, 50, 130)]
    assert plan_tiles((1, 1), 512) == [(0, 0, 1, 1)]


@pytest.mark.parametrize('tile, overlap', [(0, .2), (64, 1), (64, -.1)])
def test_plan_errors(tile, overlap):
    with pytest.raises(ValueError, match='must be'):
        plan_tiles((50, 60), tile, overlap)


def disk(x, y, radius, size=SIZE):
    rows, columns = np.mgrid[:size[0], :size[1]]
    return (columns - x)**2 + (rows - y)**2 <= radius**2


def seen(tiles, objects, min_pixels=12):
    """Let each tile find its part of each (mask, score, label)."""
    found = []
    for top, left, bottom, right in tiles:
        parts = [(mask[top:bottom, left:right], score, label)
                 for mask, score, label in objects]
        parts = [part for part in parts if part[0].sum() >= min_pixels]
        found.append(TileDetections(
            (top, left, bottom, right), [encode_mask(m) for m, _, _ in parts],
            np.array([s for _, s, _ in parts]),
            np.array([c for _, _, c in parts], int)))
    return found


def decoded(merged):
    return [mask_util.decode(mask).astype(bool) for mask in merged.masks]


@pytest.mark.parametrize('tile', [40, 64, 200])
def test_objects_come_back_once_and_whole(tile):
    """Small ones, one across four tiles, one larger than a tile."""
    objects = [(disk(60, 45, 7), .9, 0), (disk(20, 20, 9), .8, 1),
               (disk(100, 40, 30), .7, 0), (disk(39, 70, 12), .6, 2),
               (disk(128, 88, 6), .5, 1)]
    tiles = plan_tiles(SIZE, tile, 0.4)
    merged = merge_tiles(seen(tiles, objects), SIZE)
    assert merged.labels.tolist() == [0, 1, 0, 2, 1]
    assert merged.scores.tolist() == pytest.approx([.9, .8, .7, .6, .5])
    for mask, (wanted, _, _) in zip(decoded(merged), objects):
        assert np.array_equal(mask, wanted)


def test_neighbours_across_a_seam_stay_two():
    """Touching objects, each whole in one tile and cut in the other."""
    tiles = [(0, 0, 90, 70), (0, 50, 90, 131)]
    objects = [(disk(50, 40, 10), .9, 0), (disk(71, 40, 10), .8, 0)]
    merged = merge_tiles(seen(tiles, objects), SIZE)
    assert len(merged.masks) == 2
    for mask, (wanted, _, _) in zip(decoded(merged), objects):
        assert np.array_equal(mask, wanted)


def test_whole_detections_beat_cut_ones():
    tiles = [(0, 0, 90, 70), (0, 40, 90, 131)]
    mask = disk(66, 40, 12)  # cut off at 70 in the first tile
    found = seen(tiles, [(mask, .5, 0)])
    found[0] = found[0]._replace(scores=np.array([.99]))
    merged = merge_tiles(found, SIZE)
    assert len(merged.masks) == 1
    assert merged.scores.tolist() == pytest.approx([.5])
    assert np.array_equal(decoded(merged)[0], mask)


def test_scores_of_joined_pieces_are_means_by_area():
    tiles = [(0, 0, 90, 70), (0, 50, 90, 131)]
    mask = np.zeros(SIZE, bool)
    mask[20:50, 10:120] = True
    found = seen(tiles, [(mask, .5, 0)])
    found[1] = found[1]._replace(scores=np.array([.8]))
    merged = merge_tiles(found, SIZE)
    assert np.array_equal(decoded(merged)[0], mask)
    assert merged.scores.item() == pytest.approx(
        (60 * .5 + 70 * .8) / 130)


def test_a_piece_without_partner_is_dropped():
    """The other tile's mask is much larger in what both see."""
    tiles = [(0, 0, 90, 70), (0, 40, 90, 131)]
    whole, piece = disk(75, 40, 25), disk(66, 40, 6)
    found = seen(tiles, [(whole, .9, 0)])
    small = encode_mask((piece & whole)[:, :70])
    found[0] = found[0]._replace(masks=[small])
    merged = merge_tiles(found, SIZE)
    assert len(merged.masks) == 1
    assert np.array_equal(decoded(merged)[0], whole)
    # Of another class it stays.
    found[0] = found[0]._replace(labels=np.array([1]))
    assert len(merge_tiles(found, SIZE).masks) == 2


def test_one_tile_never_merges_its_own():
    tile = (0, 0, *SIZE)
    mask = encode_mask(disk(40, 40, 9))
    found = TileDetections(tile, [mask, mask], np.array([.5, .6]),
                           np.array([0, 0]))
    assert merge_tiles([found], SIZE).scores.tolist() == pytest.approx(
        [.6, .5])


def test_one_partner_in_another_tile():
    """What a model let stand twice in one tile stays twice."""
    tiles = [(0, 0, 90, 70), (0, 40, 90, 131)]
    found = seen(tiles, [(disk(55, 40, 9), .9, 0)])
    twice = found[1].masks * 2
    found[1] = TileDetections(tiles[1], twice, np.array([.8, .7]),
                              np.array([0, 0]))
    assert merge_tiles(found, SIZE).scores.tolist() == pytest.approx([.9, .7])


def test_nothing_found():
    tiles = plan_tiles(SIZE, 40)
    merged = merge_tiles(seen(tiles, []), SIZE)
    assert merged.masks == [] and merged.scores.shape == (0, )
    # An empty mask is no detection.
    empty = TileDetections(tiles[0], [encode_mask(np.zeros((40, 40), bool))],
                           np.array([.5]), np.array([0]))
    assert merge_tiles([empty], SIZE).masks == []
