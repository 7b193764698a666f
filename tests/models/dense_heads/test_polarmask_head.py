"""PolarMask's head: targets, losses and predictions against slow loops."""
import importlib.util
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from pycocotools import mask as mask_api

from mmseghead.functional import polar
from mmseghead.functional.contours import (mass_center, pad_contours,
                                           trace_contour)
from mmseghead.models.dense_heads import PolarMaskHead
from mmseghead.testing import shared_data

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location(
    'benchmark_polar', ROOT / 'tools/benchmarks/benchmark_polar.py')
LOOPS = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(LOOPS)

STRIDES = (8, 16, 32)
RANGES = ((-1, 40), (40, 80), (80, 1e8))
SIZES = [(9, 14), (5, 7), (3, 4)]  # of 72 x 110 px
CLASSES = 5
TEST_CFG = ConfigDict(
    nms_pre=-1, score_thr=0.05, max_per_img=7,
    nms=dict(type='nms', iou_threshold=0.5))


def build(**options):
    torch.manual_seed(0)
    options = dict(
        dict(
            num_classes=CLASSES,
            in_channels=6,
            feat_channels=8,
            stacked_convs=1,
            strides=STRIDES,
            regress_ranges=RANGES,
            norm_cfg=dict(type='GN', num_groups=4),
            bbox_coder=dict(type='mmdet.DistancePointBBoxCoder'),
            loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
            loss_bbox=dict(type='mmdet.IoULoss'),
            test_cfg=TEST_CFG), **options)
    head = PolarMaskHead(**options)
    head.init_weights()
    return head


def instances(seed, count, height=72, width=110):
    """Tilted, cut ellipses, and what the pipeline says of them."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((count, height, width), np.uint8)
    boxes = np.zeros((count, 4), np.float32)
    for mask, box in zip(masks, boxes):
        while not mask.any():
            axes = np.exp(rng.uniform(1, 3.9, 2)).astype(int).tolist()
            middle = rng.uniform((0, 0), (width, height)).astype(int)
            cv2.ellipse(mask, middle.tolist(), axes, rng.uniform(0, 180), 0,
                        int(rng.integers(120, 361)), 1, -1)
        contour = trace_contour(mask)
        box[:2], box[2:] = contour.min(0), contour.max(0) + 1
    return InstanceData(
        bboxes=torch.from_numpy(boxes),
        labels=torch.from_numpy(rng.integers(0, CLASSES, count)),
        masks=BitmapMasks(masks, height, width))


def meta(**changes):
    return dict(
        dict(img_shape=(72, 110), ori_shape=(72, 110), scale_factor=(1., 1.)),
        **changes)


def outputs(head, images, seed=0, sizes=SIZES):
    """Made-up outputs of the head, lengths of a plausible size."""
    generator = torch.Generator().manual_seed(seed)

    def some(channels, level):
        return torch.randn(images, channels, *sizes[level],
                           generator=generator)

    levels = range(len(sizes))
    return [[some(CLASSES, k) - 2 for k in levels],
            [(some(4, k) * .4 + 2.5).exp() for k in levels]
            if head.with_box_branch else
            [some(0, k) for k in levels],
            [some(1, k) for k in levels],
            [(some(36, k) * .3 + 2.5).exp() for k in levels]]


def loop_image(gt, legacy, strides=STRIDES, ranges=RANGES, sizes=SIZES):
    """Targets of one image, by loops."""
    contours = [trace_contour(mask) for mask in gt.masks.masks]
    centers = torch.tensor([mass_center(c, legacy) for c in contours])
    boxes = gt.bboxes - torch.tensor([0, 0, 1, 1.]) * legacy
    area = (boxes[:, 2:] - boxes[:, :2] + legacy).prod(1)
    return boxes, LOOPS.loop_targets(
        sizes, boxes, centers, [torch.from_numpy(c) for c in contours], area,
        strides=strides, ranges=ranges)


@pytest.mark.parametrize('legacy', [False, True])
def test_targets_equal_slow_loops(legacy):
    head = build(legacy_v1=legacy)
    batch = [instances(1, 8), instances(2, 1), instances(3, 13)]
    grid = polar.PolarGrid(SIZES, STRIDES, RANGES)
    given = head.get_targets(grid, batch, [meta()] * 3)
    begin, total = 0, grid.num_locations
    for image, gt in enumerate(batch):
        boxes, (where, who, rays) = loop_image(gt, legacy)
        rows = slice(begin, begin + len(where))
        assert torch.equal(given.positives[rows] - image * total, where)
        labels = torch.full((total, ), CLASSES)
        labels[where] = gt.labels[who]
        assert torch.equal(
            given.labels[image * total:(image + 1) * total], labels)
        assert torch.equal(given.rays[rows],
                           rays if legacy else rays.clamp(min=1e-6))
        points = grid.points(boxes.device)[where]
        sides = torch.cat((points - boxes[who, :2], boxes[who, 2:] - points),
                          1)
        assert torch.equal(given.distances[rows], sides)
        begin += len(where)
    assert begin == len(given.positives) > 60
    ratio = given.rays.min(1)[0] / given.rays.max(1)[0]
    assert torch.allclose(given.centerness, ratio.sqrt())


def test_worked_targets():
    """A square of 40 pixels: 9 positives, all on the finest level."""
    head = build(strides=LOOPS.STRIDES, regress_ranges=LOOPS.RANGES,
                 legacy_v1=True)
    mask = np.zeros((1, 128, 128), np.uint8)
    mask[0, 40:80, 30:70] = 1
    gt = InstanceData(
        bboxes=torch.tensor([[30., 40, 70, 80]]), labels=torch.tensor([3]),
        masks=BitmapMasks(mask, 128, 128))
    sizes = [(128 // s, 128 // s) for s in LOOPS.STRIDES]
    grid = polar.PolarGrid(sizes, LOOPS.STRIDES, LOOPS.RANGES)
    given = head.get_targets(grid, [gt], [meta(img_shape=(128, 128))])
    assert given.positives.tolist() == [
        101, 102, 103, 117, 118, 119, 133, 134, 135]
    assert (given.labels[given.positives] == 3).all()
    assert given.distances[4].tolist() == [22, 20, 17, 19]
    assert given.rays[4, [0, 9, 18, 27]].tolist() == [19, 17, 20, 22]
    assert given.centerness[4].item() == pytest.approx(.764734, abs=1e-6)


def test_contours_of_the_pipeline_and_of_the_head_are_one():
    head = build()
    traced = instances(4, 6)
    traced.masks.masks[2] = 0  # vanished when resized
    packed = InstanceData(bboxes=traced.bboxes, labels=traced.labels)
    packed.contours, packed.contour_lengths, packed.mass_centers = map(
        torch.from_numpy, pad_contours(map(trace_contour,
                                           traced.masks.masks)))
    grid = polar.PolarGrid(SIZES, STRIDES, RANGES)
    one, other = (head.get_targets(grid, [gt], [meta()])
                  for gt in (traced, packed))
    for a, b in zip(one, other):
        assert torch.equal(a, b)
    # A mass centre in the corner stands for none, and attracts nobody.
    kept = torch.tensor([0, 1, 3, 4, 5])
    alone = head.get_targets(grid, [packed[kept]], [meta()])
    for a, b in zip(one, alone):
        assert torch.equal(a, b)


def on_the_edge(point, contour, ray):
    """Whether single precision leaves open in which bucket a pixel is.

    Vector and scalar code differ in the last digit there, so that even the
    reference depends on where in the array a pixel stands.
    """
    degrees = np.degrees(np.arctan2(*(contour - point).T)) % 360
    near = (np.abs(degrees - np.rint(degrees)) < 1e-4) & (degrees % 45 > 0)
    return (near & (np.abs(degrees - 10 * ray) < 4.5)).any()


@pytest.mark.slow
def test_targets_of_real_masks_equal_slow_loops():
    folder = shared_data('coco_mini')
    if folder is None:
        pytest.skip('needs shared/data/coco_mini')
    data = json.loads((folder / 'train.json').read_text())
    head = build(strides=LOOPS.STRIDES, regress_ranges=LOOPS.RANGES,
                 legacy_v1=True)
    positives = masks = differing = 0
    for image in data['images']:
        height, width = image['height'], image['width']
        found = []
        for ann in data['annotations']:
            if ann['image_id'] == image['id'] and not ann['iscrowd']:
                rle = ann['segmentation']
                if isinstance(rle, list):
                    rle = mask_api.merge(
                        mask_api.frPyObjects(rle, height, width))
                elif isinstance(rle['counts'], list):
                    rle = mask_api.frPyObjects(rle, height, width)
                mask = mask_api.decode(rle)
                if mask.any():
                    x, y, w, h = ann['bbox']
                    found.append(((x, y, x + w, y + h), mask))
        if not found:
            continue
        gt = InstanceData(
            bboxes=torch.tensor([box for box, _ in found]),
            labels=torch.zeros(len(found), dtype=torch.long),
            masks=BitmapMasks([m for _, m in found], height, width))
        sizes = [(-(-height // s), -(-width // s)) for s in LOOPS.STRIDES]
        grid = polar.PolarGrid(sizes, LOOPS.STRIDES, LOOPS.RANGES)
        given = head.get_targets(grid, [gt],
                                 [meta(img_shape=(height, width))])
        # The reference's boxes end in the image's last pixel.
        gt.bboxes[:, 2:].clamp_(max=torch.tensor([width, height]).float())
        _, (where, who, rays) = loop_image(gt, True, LOOPS.STRIDES,
                                           LOOPS.RANGES, sizes)
        assert torch.equal(given.positives, where)
        points = grid.points(where.device)[where].numpy()
        for row, ray in (given.rays != rays).nonzero().tolist():
            contour = trace_contour(gt.masks.masks[who[row]])
            assert on_the_edge(points[row], contour, ray)
            differing += 1
        masks, positives = masks + len(found), positives + len(where)
    assert masks > 600 and positives > 3000
    assert differing <= 5  # of more than 100 000 rays


@pytest.mark.parametrize('direction', [None, 'horizontal', 'vertical',
                                       'diagonal'])
def test_legacy_boxes_are_made_before_resize_and_flip(direction):
    """An inclusive box, scaled, flipped, clipped, as the reference does."""
    (sx, sy), (width, height) = (1.5, 2.), (90, 84)
    x1, y1, w, h = 7., 9., 20., 40.  # of the original image, 60 x 42
    old = [x1 * sx, y1 * sy, (x1 + w - 1) * sx, (y1 + h - 1) * sy]
    new = [x1 * sx, y1 * sy, (x1 + w) * sx, (y1 + h) * sy]
    if direction in ('horizontal', 'diagonal'):
        old[0], old[2] = width - 1 - old[2], width - 1 - old[0]
        new[0], new[2] = width - new[2], width - new[0]
    if direction in ('vertical', 'diagonal'):
        old[1], old[3] = height - 1 - old[3], height - 1 - old[1]
        new[1], new[3] = height - new[3], height - new[1]
    old = np.clip(old, 0, [width - 1, height - 1] * 2)
    info = meta(img_shape=(height, width), scale_factor=(sx, sy),
                flip=direction is not None, flip_direction=direction)
    given = build(legacy_v1=True)._boxes(torch.tensor([new]), info)
    assert given[0].tolist() == old.tolist()
    assert build()._boxes(torch.tensor([new]), info).tolist() == [new]


def slow_losses(head, maps, batch, legacy):
    """All four losses, term by term in double precision."""
    joined = [
        torch.cat([level.flatten(2).transpose(1, 2) for level in part],
                  1).double() for part in maps
    ]
    scores, boxes, centerness, rays = joined
    cls = mask = box = ctr = weights = 0.
    number = 0
    points = polar.PolarGrid(SIZES, STRIDES, RANGES).points(scores.device)
    for image, gt in enumerate(batch):
        gt_boxes, (where, who, target) = loop_image(gt, legacy)
        wanted = torch.zeros_like(scores[image])
        wanted[where, gt.labels[who]] = 1
        p = scores[image].sigmoid()
        cls += (-.25 * (1 - p)**2 * p.log() * wanted - .75 * p**2 *
                (1 - p).log() * (1 - wanted)).sum().item()
        for k, (place, owner) in enumerate(zip(where, who)):
            t = target[k].double()
            t = t if legacy else t.clamp(min=1e-6)
            w = math.sqrt(t.min() / t.max())
            d = rays[image, place]
            high, low = torch.maximum(d, t).sum(), torch.minimum(d, t).sum()
            mask += w * math.log(high / low)
            c = centerness[image, place, 0].sigmoid().item()
            ctr -= w * math.log(c) + (1 - w) * math.log(1 - c)
            x, y = points[place].tolist()
            l, t_, r, b = boxes[image, place].tolist()
            x1, y1, x2, y2 = gt_boxes[owner].tolist()
            more = int(legacy)
            wide = max(0, min(x + r, x2) - max(x - l, x1) + more)
            tall = max(0, min(y + b, y2) - max(y - t_, y1) + more)
            union = ((l + r + more) * (t_ + b + more) +
                     (x2 - x1 + more) * (y2 - y1 + more) - wide * tall)
            box -= w * math.log(max(wide * tall / union, 1e-6))
            weights += w
            number += 1
    images = len(batch) if legacy else 0
    return dict(loss_cls=cls / (number + images), loss_mask=mask / weights,
                loss_bbox=box / weights, loss_centerness=ctr / number)


@pytest.mark.parametrize('legacy', [False, True])
def test_losses_equal_slow_loops(legacy):
    head = build(legacy_v1=legacy)
    batch = [instances(5, 6), instances(6, 3)]
    maps = outputs(head, 2)
    losses = head.loss_by_feat(*maps, batch, [meta()] * 2)
    slow = slow_losses(head, maps, batch, legacy)
    assert losses.keys() == slow.keys()
    for name, value in losses.items():
        assert value.item() == pytest.approx(slow[name], rel=2e-4), name


def test_no_positives_give_connected_zeros():
    for options in (dict(), dict(legacy_v1=True),
                    dict(with_box_branch=False)):
        head = build(**options)
        feats = [torch.randn(2, 6, *size) for size in SIZES]
        losses = head.loss_by_feat(
            *head(feats), [instances(1, 0)] * 2, [meta()] * 2)
        sum(losses.values()).backward()
        for name, value in losses.items():
            assert value.isfinite()
            assert (value.item() == 0) == (name != 'loss_cls')
        assert all(p.grad is not None for p in head.parameters())


def slow_predictions(head, maps, info, legacy, rescale):
    """The reference's inference on one image, step by step."""
    height, width = info['img_shape']
    scale = np.array(info['scale_factor'] if rescale else (1., 1.))
    rows = []
    points = polar.PolarGrid(SIZES, STRIDES, RANGES).points(
        torch.device('cpu')).tolist()
    joined = [torch.cat([level[0].flatten(1).T for level in part])
              for part in maps]
    limit = np.array([width - legacy, height - legacy])
    for (x, y), scores, box, ctr, rays in zip(points, *joined):
        c = ctr.sigmoid().item()
        contour = []
        for k, length in enumerate(rays.tolist()):
            turn = 2 * math.pi * k / len(rays)
            contour.append((
                min(max(x + length * math.sin(turn), 0), width - 1),
                min(max(y + length * math.cos(turn), 0), height - 1)))
        contour = np.array(contour)
        if head.mask_nms:
            low, high = contour.min(0), contour.max(0) + (not legacy)
            low, high = low / scale, high / scale
        else:
            l, t, r, b = box.tolist()
            low = np.clip([x - l, y - t], 0, limit) / scale
            high = np.clip([x + r, y + b], 0, limit) / scale
        if legacy:
            contour = contour / scale
        else:
            contour = (contour + .5) / scale - .5
        for label, logit in enumerate(scores.tolist()):
            s = 1 / (1 + math.exp(-logit))
            if s > .05:
                rows.append((s * (c + .5), label, low, high, contour))
    rows.sort(key=lambda row: -row[0])
    kept = []
    for row in rows:
        for other in kept:
            if other[1] != row[1]:
                continue
            inter = np.prod(np.clip(
                np.minimum(row[3], other[3]) - np.maximum(row[2], other[2]) +
                legacy, 0, None))
            union = sum(np.prod(r[3] - r[2] + legacy) for r in (row, other))
            if inter > .5 * (union - inter):
                break
        else:
            kept.append(row)
    return kept[:7]


@pytest.mark.parametrize('legacy', [False, True])
@pytest.mark.parametrize('options', [
    dict(), dict(mask_nms=True), dict(with_box_branch=False)])
@pytest.mark.parametrize('rescale', [False, True])
def test_predictions_equal_slow_loops(legacy, options, rescale):
    head = build(legacy_v1=legacy, **options)
    info = meta(ori_shape=(144, 88), scale_factor=(1.25, .5))
    maps = outputs(head, 1)
    found, = head.predict_by_feat(*maps, [info], rescale=rescale)
    slow = slow_predictions(head, maps, info, legacy, rescale)
    shape = info['ori_shape'] if rescale else info['img_shape']
    assert len(found) == len(slow) == 7
    assert found.masks.shape == (7, *shape)
    for k, (score, label, low, high, contour) in enumerate(slow):
        assert found.labels[k] == label
        assert found.scores[k].item() == pytest.approx(
            score if legacy else score / 1.5, rel=1e-5)
        box = [*low, *(high + legacy)]
        assert found.bboxes[k].tolist() == pytest.approx(box, abs=1e-3)
        assert np.abs(found.contours[k].T.numpy() - contour).max() < 1e-3
        # From its own points: a hair moves a whole pixel.
        pixels = found.contours[k].T.numpy()
        pixels = np.trunc(pixels) if legacy else np.round(pixels)
        canvas = np.zeros(shape, np.uint8)
        cv2.drawContours(canvas, [pixels.astype(int)], -1, 1, -1)
        assert np.array_equal(found.masks[k].numpy(), canvas > 0)


def test_scores():
    head = build(legacy_v1=True)
    assert head.ranking_scores(torch.tensor(.8), torch.tensor(.7)).item() == (
        pytest.approx(.96))
    maps = outputs(head, 1)
    for level in maps[0]:
        level.fill_(math.log(.04 / .96))
    for level in maps[2]:
        level.fill_(50.)  # centerness 1
    found, = head.predict_by_feat(*maps, [meta()])
    assert len(found) == 0 and found.masks.shape == (0, 72, 110)


def test_only_the_best_of_a_level_by_class_and_centerness_are_kept():
    head = build(with_box_branch=False)
    maps = outputs(head, 1)
    cfg = ConfigDict(TEST_CFG, nms_pre=4, max_per_img=1000, score_thr=0.0)
    found, = head.predict_by_feat(*maps, [meta()], cfg=cfg)
    expected = set()
    begin = 0
    points = polar.PolarGrid(SIZES, STRIDES, RANGES).points(
        torch.device('cpu'))
    for scores, ctr in zip(maps[0], maps[2]):
        best = (scores.sigmoid() * ctr.sigmoid())[0].amax(0).flatten()
        for place in best.topk(4).indices.tolist():
            expected.add(tuple(points[begin + place].tolist()))
        begin += len(best)
    assert {tuple(c) for c in found.centers.long().tolist()} <= expected
    assert len(found) > 4


def test_a_batch_is_its_images():
    head = build()
    maps = outputs(head, 3)
    infos = [meta(), meta(img_shape=(60, 100)), meta()]
    together = head.predict_by_feat(*maps, infos)
    for i, info in enumerate(infos):
        single = [[level[i:i + 1] for level in part] for part in maps]
        alone, = head.predict_by_feat(*single, [info])
        for key in ('bboxes', 'scores', 'labels', 'masks'):
            assert torch.equal(alone[key], together[i][key])


def test_outputs_of_all_kinds():
    feats = [torch.randn(2, 6, *size) for size in SIZES]
    head = build(polar_coder=dict(type='mmseghead.PolarCoder', num_rays=24))
    cls_scores, boxes, centerness, rays = head(feats)
    for k, (h, w) in enumerate(SIZES):
        assert cls_scores[k].shape == (2, CLASSES, h, w)
        assert boxes[k].shape == (2, 4, h, w)
        assert centerness[k].shape == (2, 1, h, w)
        assert rays[k].shape == (2, 24, h, w)
        assert (rays[k] > 0).all() and (boxes[k] > 0).all()
    lean = build(with_box_branch=False, stride_scaled=True)
    assert not hasattr(lean, 'reg_convs') and lean.mask_nms
    with torch.no_grad():
        lean.conv_mask.weight.zero_()
    for ray, stride in zip(lean(feats)[3], STRIDES):
        assert (ray == stride).all()
    half = build().bfloat16()([f.bfloat16() for f in feats])
    assert half[1][0].dtype == half[3][0].dtype == torch.float32


def test_deformable_towers_start_as_plain_ones():
    head = build(conv_cfg=dict(type='DCNv2'), stacked_convs=2)
    kinds = {type(block.conv).__name__
             for tower in (head.cls_convs, head.reg_convs, head.mask_convs)
             for block in tower}
    assert kinds == {'ModulatedDeformConv2dPack'}
    assert not head.mask_convs[1].conv.conv_offset.weight.any()


def test_options():
    with pytest.raises(ValueError, match='`mask_nms` of PolarMaskHead'):
        build(with_box_branch=False, mask_nms=False)
    with pytest.raises(ValueError, match='`regress_ranges`'):
        build(regress_ranges=RANGES[:2])
    with pytest.raises(ValueError, match='`strides`'):
        build(strides=(8, 15, 32))
