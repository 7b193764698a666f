"""FCOSreg's targets and losses against loops over locations."""
import math

import pytest
import torch
from mmdet.models.dense_heads import FCOSHead
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmseghead.models.dense_heads import FCOSRegHead

STRIDES = (4, 8, 16)
SIZES = ((10, 14), (5, 7), (3, 4))
HEIGHT, WIDTH = 38, 54
CLASSES = 5
RANGES = ((-1, 12), (12, 24), (24, 1e8))


def _head(cls=FCOSRegHead, **kwargs):
    torch.manual_seed(0)
    return cls(
        num_classes=CLASSES,
        in_channels=6,
        feat_channels=8,
        stacked_convs=1,
        strides=STRIDES,
        regress_ranges=RANGES,
        norm_cfg=dict(type='GN', num_groups=2),
        loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.IoULoss'),
        bbox_coder=dict(type='mmdet.DistancePointBBoxCoder'),
        loss_centerness=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        **kwargs)


def _truth(number=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first = torch.rand(number, 2, generator=generator) * 20
    boxes = torch.cat(
        (first, first + 6 + 26 * torch.rand(number, 2, generator=generator)),
        1)
    masks = torch.rand(number, HEIGHT, WIDTH, generator=generator) < 0.5
    if number:
        masks[0] = False  # an instance whose mask vanished
    return InstanceData(
        bboxes=boxes,
        labels=torch.randint(CLASSES, (number, ), generator=generator),
        masks=BitmapMasks(masks.numpy().astype('uint8'), HEIGHT, WIDTH))


def _slow_targets(truth, center_radius=None):
    """(class, instance, seg, distances) of every location, one by one."""
    masks = torch.from_numpy(truth.masks.masks).float()
    rows = []
    for stride, (height, width), (low, high) in zip(STRIDES, SIZES, RANGES):
        for y in range(height):
            for x in range(width):
                px, py = (x + .5) * stride, (y + .5) * stride
                best = None
                for j, (x1, y1, x2, y2) in enumerate(truth.bboxes.tolist()):
                    reach = px - x1, py - y1, x2 - px, y2 - py
                    if min(reach) <= 0 or not low <= max(reach) <= high:
                        continue
                    if center_radius is not None and max(
                            abs(px - (x1 + x2) / 2),
                            abs(py - (y1 + y2) / 2)) >= center_radius * stride:
                        continue
                    cell = masks[j, y * stride:(y + 1) * stride,
                                 x * stride:(x + 1) * stride]
                    seg = cell.sum().item() / stride**2
                    rank = (-seg, (x2 - x1) * (y2 - y1), j)
                    if best is None or rank < best[0]:
                        best = rank, seg, reach
                if best is None:
                    rows.append((CLASSES, -1, 0., None))
                else:
                    (_, _, j), seg, reach = best
                    rows.append((int(truth.labels[j]), j, seg, reach))
    return rows


@pytest.mark.parametrize('number', [0, 1, 6, 23])
@pytest.mark.parametrize('radius', [None, 1.5])
def test_targets_equal_a_loop(number, radius):
    head = _head(
        center_sampling=radius is not None, center_sample_radius=radius or 1.5)
    truth = _truth(number, seed=number)
    found, = head.image_targets(SIZES, [truth], torch.device('cpu'))
    wanted = _slow_targets(truth, radius)
    assert found.labels.tolist() == [row[0] for row in wanted]
    assert found.instances.tolist() == [row[1] for row in wanted]
    assert found.seg.tolist() == pytest.approx([row[2] for row in wanted])
    for distances, (_, j, _, reach) in zip(found.distances.tolist(), wanted):
        if j >= 0:
            assert distances == pytest.approx(reach, abs=1e-4)
    assert number < 6 or (found.instances >= 0).sum() > 20


@pytest.mark.parametrize('radius', [None, 1.5])
def test_without_masks_it_is_fcos(radius):
    """Empty masks leave the smallest box, weighted by centerness alone."""
    kwargs = dict(
        center_sampling=radius is not None, center_sample_radius=radius or 1.5)
    truth = _truth(6)
    truth.masks.masks[:] = 0
    ours = _head(reg_weights=(1, 0, 0), **kwargs)
    theirs = _head(FCOSHead, **kwargs)
    x = [torch.randn(1, 6, *size) for size in SIZES]
    metas = [dict(img_shape=(HEIGHT, WIDTH))]
    found = ours.loss_by_feat(*ours(x), [truth], metas)
    wanted = theirs.loss_by_feat(*theirs(x), [truth], metas)
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-4)


@pytest.mark.parametrize('weights, wanted', [((1, 0, 0), .64),
                                             ((0, 1, 0), .25),
                                             ((1 / 3, ) * 3, .43)])
def test_regulariser_of_figure_6(weights, wanted):
    head = _head(reg_weights=weights)
    value = head.regulariser(torch.tensor(.64), torch.tensor(.25))
    assert value.item() == pytest.approx(wanted)


@pytest.mark.parametrize('norm_on_bbox', [True, False])
def test_losses_equal_a_loop(norm_on_bbox):
    """Regulariser as weight of boxes, their normaliser and as target."""
    head = _head(norm_on_bbox=norm_on_bbox).train()
    truths = [_truth(7, 1), _truth(0), _truth(4, 3)]
    x = [torch.randn(3, 6, *size) for size in SIZES]
    outs = head(x)
    losses = head.loss_by_feat(*outs, truths, [{}] * 3)
    scale = dict(zip(range(3), STRIDES)) if norm_on_bbox else [1] * 3
    total_box = total_centerness = total_weight = 0.
    positives = 0
    for i, truth in enumerate(truths):
        rows = iter(_slow_targets(truth))
        for level, (height, width) in enumerate(SIZES):
            for y in range(height):
                for x_ in range(width):
                    _, j, seg, reach = next(rows)
                    if j < 0:
                        continue
                    positives += 1
                    left, top, right, bottom = reach
                    ctr = math.sqrt(
                        min(left, right) / max(left, right) *
                        min(top, bottom) / max(top, bottom))
                    weight = (ctr + seg + math.sqrt(ctr * seg)) / 3
                    pred = outs[1][level][i, :, y, x_].detach() * scale[level]
                    both = torch.minimum(pred, torch.tensor(reach))
                    shared = (both[0] + both[2]) * (both[1] + both[3])
                    union = (pred[0] + pred[2]) * (pred[1] + pred[3]) + (
                        left + right) * (top + bottom) - shared
                    iou = max((shared / union).item(), 1e-6)
                    total_box -= weight * math.log(iou)
                    total_weight += weight
                    logit = outs[2][level][i, 0, y, x_].item()
                    total_centerness += math.log1p(
                        math.exp(-logit)) + (1 - weight) * logit
    assert losses['loss_bbox'].item() == pytest.approx(
        total_box / total_weight, rel=1e-3)
    assert losses['loss_centerness'].item() == pytest.approx(
        total_centerness / positives, rel=1e-4)


def test_no_instances_give_connected_zeros():
    head = _head().train()
    outs = head([torch.randn(1, 6, *size) for size in SIZES])
    losses = head.loss_by_feat(*outs, [_truth(0)], [{}])
    assert losses['loss_bbox'] == 0 and losses['loss_centerness'] == 0
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())


@pytest.mark.parametrize('weights', [(.5, .5, .5), (2, -1, 0), (1, 0)])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match='`reg_weights` of FCOSRegHead'):
        _head(reg_weights=weights)
