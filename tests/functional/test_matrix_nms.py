"""Matrix NMS from bits equals mmdet's."""
import pytest
import torch
from mmdet.models.layers import mask_matrix_nms

from mmseghead.functional.matrix_nms import (best_first, decay_scores,
                                             intersections, pack_bits)


def random_masks(number, size=(9, 13), seed=0, kernel=None):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(number, *size, generator=generator) > 0.4
    if kernel != 'linear':  # which divides by zero then
        masks[::3] = masks[0]  # some are the same
    labels = torch.randint(3, (number, ), generator=generator)
    return masks, labels, torch.rand(number, generator=generator)


@pytest.mark.parametrize('size', [(1, 1), (3, 5), (8, 2), (9, 13)])
def test_intersections_are_counts(size):
    masks, _, _ = random_masks(7, size)
    wanted = [[int((a & b).sum()) for b in masks] for a in masks]
    assert intersections(pack_bits(masks)).tolist() == wanted


def test_intersections_of_many_pieces(monkeypatch):
    from mmseghead.functional import matrix_nms
    masks, _, _ = random_masks(7, (30, 41))
    wanted = intersections(pack_bits(masks))
    monkeypatch.setattr(matrix_nms, '_BYTES_PER_PRODUCT', 500)
    assert torch.equal(intersections(pack_bits(masks)), wanted)


@pytest.mark.parametrize('kernel', ['gaussian', 'linear'])
@pytest.mark.parametrize('pre, limit', [(-1, -1), (12, 7)])
def test_equals_mmdet(kernel, pre, limit):
    masks, labels, scores = random_masks(19, kernel=kernel)
    wanted, wanted_labels, _, wanted_rows = mask_matrix_nms(
        masks,
        labels,
        scores,
        nms_pre=pre,
        max_num=limit,
        kernel=kernel,
        sigma=2.0)
    ordered, rows = best_first(scores, pre)
    areas = masks.sum((1, 2)).float()
    decayed = decay_scores(ordered, labels[rows], areas[rows],
                           intersections(pack_bits(masks[rows])), kernel, 2.0)
    found, order = best_first(decayed, limit)
    assert torch.equal(found, wanted)
    assert torch.equal(rows[order], wanted_rows)
    assert torch.equal(labels[rows[order]], wanted_labels)


def test_nothing_and_errors():
    none = torch.zeros(0)
    packed = pack_bits(torch.zeros(0, 4, 6, dtype=torch.bool))
    common = intersections(packed)
    assert common.shape == (0, 0)
    assert decay_scores(none, none, none, common, 'linear', 2.).shape == (0, )
    with pytest.raises(ValueError, match='`kernel`'):
        decay_scores(none, none, none, common, 'box', 2.)
