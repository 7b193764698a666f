"""FCOSIS's heads: cues, maps, losses and masks."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmseghead.functional.mask_labels import (balancing_padding,
                                              soft_mask_labels)
from mmseghead.models.dense_heads import FCOSISHead, FCOSISMaskHead
from mmseghead.models.dense_heads.fcosis_head import ImageCues
from mmseghead.models.layers.attention_map import LevelCues

STRIDES = (4, 8, 16)
HEIGHT, WIDTH = 64, 96
SIZES = [(HEIGHT // s, WIDTH // s) for s in STRIDES]
CHANNELS, CLASSES = 6, 5
RANGES = ((-1, 12), (12, 24), (24, 1e8))


def _head(**kwargs):
    torch.manual_seed(0)
    return FCOSISHead(
        num_classes=CLASSES,
        in_channels=CHANNELS,
        feat_channels=8,
        stacked_convs=1,
        strides=STRIDES,
        regress_ranges=RANGES,
        start_level=0,
        norm_cfg=dict(type='GN', num_groups=2),
        loss_cls=dict(type='mmdet.FocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='mmdet.IoULoss'),
        bbox_coder=dict(type='mmdet.DistancePointBBoxCoder'),
        loss_centerness=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        test_cfg=ConfigDict(
            nms_pre=100,
            min_bbox_size=0,
            score_thr=0.005,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=9),
        **kwargs)


def _mask_head(**kwargs):
    torch.manual_seed(1)
    options = dict(
        num_classes=CLASSES,
        in_channels=CHANNELS,
        feat_channels=8,
        num_convs=2,
        norm_cfg=None,
        test_cfg=ConfigDict(mask_thr_binary=0.5))
    return FCOSISMaskHead(**{**options, **kwargs})


def _features(batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(batch, CHANNELS, *size, generator=generator)
        for size in SIZES
    ]


def _truth(boxes):
    """Instances whose masks are ellipses in their boxes."""
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    masks = [((2 * xs - x1 - x2) / (x2 - x1))**2 + (
        (2 * ys - y1 - y2) / (y2 - y1))**2 <= 1
             for x1, y1, x2, y2 in boxes.tolist()]
    masks = np.array(masks, np.uint8).reshape(-1, HEIGHT, WIDTH)
    return InstanceData(
        bboxes=boxes,
        labels=torch.arange(len(boxes)) % CLASSES,
        masks=BitmapMasks(masks, HEIGHT, WIDTH))


def _cues(boxes, levels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    boxes = torch.as_tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    maps = [
        LevelCues(s, torch.randn(*size, generator=generator),
                  9 * torch.randn(2, *size, generator=generator))
        for s, size in zip(STRIDES, SIZES)
    ]
    return ImageCues(
        torch.tensor(levels, dtype=torch.long),
        (boxes[:, :2] + boxes[:, 2:]) / 2, maps)


APART = [[2., 4, 22, 20], [40, 6, 90, 30], [8, 40, 30, 60], [50, 38, 80, 62]]
MIXED = [[2., 4, 40, 40], [20, 10, 70, 40], [8, 44, 30, 60], [15, 20, 24, 50]]


class TestDetectionHead:

    def test_cue_losses_equal_a_loop(self):
        head = _head().train()
        truths = [_truth(MIXED), _truth([]), _truth(APART[:2])]
        outs = head(_features(3))
        losses = head.loss_by_feat(*outs, truths, [{}] * 3)
        targets = head.image_targets(SIZES, truths, torch.device('cpu'))
        coarse, centers, cells, places = 0., 0., 0, 0
        for i, (truth, target) in enumerate(zip(truths, targets)):
            begin = 0
            for level, (h, w) in enumerate(SIZES):
                part = target.instances[begin:begin + h * w]
                begin += h * w
                here = sorted(set(part.tolist()) - {-1})
                for y in range(h if here else 0):
                    for x in range(w):
                        segs = [
                            target.seg_maps[level][j, y, x].item()
                            for j in here
                        ]
                        logit = outs[3][level][i, 0, y, x]
                        coarse += F.binary_cross_entropy_with_logits(
                            logit, torch.tensor(max(segs))).item()
                        cells += 1
                        if max(segs) <= 0.5:
                            continue
                        j = here[int(np.argmax(segs))]
                        ys, xs = np.nonzero(truth.masks.masks[j])
                        s = STRIDES[level]
                        wanted = torch.tensor([
                            (xs.mean() + .5) / s - x - .5,
                            (ys.mean() + .5) / s - y - .5
                        ])
                        away = (outs[4][level][i, :, y, x] - wanted).abs()
                        centers += torch.where(away < 1, away**2 / 2,
                                               away - .5).sum().item()
                        places += 1
        assert losses['loss_coarse'].item() == pytest.approx(
            coarse / cells, rel=1e-4)
        assert losses['loss_center'].item() == pytest.approx(
            centers / places, rel=1e-4)

    def test_infos_for_the_mask_head(self):
        head = _head().train()
        boxes = [[10., 10, 20, 18], [20, 10, 80, 60], [50.2, 50.2, 51, 50.9]]
        head.loss_by_feat(*head(_features()), [_truth(boxes)], [{}])
        info, = head.get_positive_infos()
        # The last one is too small for any location: by its size.
        assert info.levels.tolist() == [0, 2, 0]
        assert info.centers[0].tolist() == pytest.approx([15, 14], abs=0.1)
        assert [cue.stride for cue in info.maps] == list(STRIDES)
        with pytest.raises(RuntimeError, match='after `loss`'):
            head.get_positive_infos()

    def test_predictions_carry_their_own_level_and_centre(self):
        """One certain location: its level and its regressed centre."""
        head = _head().eval()
        outs = [[level.clone() for level in kind]
                for kind in head(_features())]
        for scores in outs[0]:
            scores.fill_(-9)
        outs[0][1][0, 3, 2, 5] = 9
        outs[1][1][0, :, 2, 5] = torch.tensor([8., 6, 10, 12])
        outs[2][1].fill_(9)
        outs[4][1][0, :, 2, 5] = torch.tensor([0.5, -0.25])
        found, = head.predict_by_feat(*outs, [dict(img_shape=(HEIGHT, WIDTH))])
        assert found.labels.tolist() == [3] and found.levels.tolist() == [1]
        assert found.bboxes.tolist() == [[36, 14, 54, 32]]
        assert found.centers.tolist() == [[44 + 4, 20 - 2]]
        assert len(found.cues) == 3

    def test_equal_to_fcos_with_nms(self):
        """The same detections as FCOS's own decoding."""
        from mmdet.models.dense_heads import FCOSHead
        head = _head().eval()
        outs = head(_features())
        metas = [dict(img_shape=(HEIGHT, WIDTH))]
        found, = head.predict_by_feat(*outs, metas)
        wanted, = FCOSHead.predict_by_feat(head, *outs[:3], metas)
        assert len(wanted) == 9
        for key in ('bboxes', 'scores', 'labels'):
            assert torch.allclose(found[key].float(), wanted[key].float())


class TestMaskHead:

    def test_one_pass_for_boxes_apart_equals_one_each(self):
        """Further apart than the receptive field, to rounding.

        One convolution a level, the coarsest of stride 16: 16 px of
        convolution, 16 of upsampling and 8 of the attention's resize. With
        norm this would not hold: its statistics are of the whole map.
        """
        head = _mask_head(num_convs=1).eval()
        boxes = torch.tensor([[2., 4, 18, 20], [70, 40, 94, 62]])
        cues = _cues(boxes, [0, 1])
        x = _features()
        plan = head.plan_maps([cues], [boxes], SIZES)
        assert len(plan.images) == 1
        joint = head.map_logits(x, plan, 0, 1)
        for j in range(2):
            alone = cues._replace(
                levels=cues.levels[j:j + 1], centers=cues.centers[j:j + 1])
            plan = head.plan_maps([alone], [boxes[j:j + 1]], SIZES)
            single = head.map_logits(x, plan, 0, 1)
            x1, y1, x2, y2 = (boxes[j] / 4).long().tolist()
            inside = (joint - single)[0, 0, y1:y2, x1:x2]
            assert inside.abs().max() < 1e-5
            assert (joint - single).abs().max() > 1e-2

    def test_attention_of_a_colour_is_the_sum(self):
        head = _mask_head()
        cues = _cues(MIXED, [1, 1, 0, 2])
        boxes = torch.tensor(MIXED)
        plan = head.plan_maps([cues], [boxes], SIZES)
        place, = plan.places
        assert len(plan.images) == int(place.max()) + 1 > 1
        for colour in range(len(plan.images)):
            own = (place == colour).nonzero().flatten()
            wanted = 0
            for j in own.tolist():
                same = cues.levels == cues.levels[j]
                single = head.attention(cues.maps[cues.levels[j]],
                                        boxes[same], cues.centers[same])
                index = int(same[:j].sum())
                stride = STRIDES[cues.levels[j]]
                wanted = wanted + F.interpolate(
                    single[index][None, None],
                    scale_factor=stride / 4,
                    mode='bilinear',
                    align_corners=False)[0, 0]
            assert torch.allclose(
                plan.attention[0][colour], wanted, atol=1e-5)

    def test_loss_equals_a_loop(self):
        head = _mask_head().train()
        truths = [_truth(MIXED), _truth([]), _truth(APART[:1])]
        cues = [_cues(MIXED, [1, 1, 0, 2]), _cues([], []),
                _cues(APART[:1], [1], 5)]
        samples = []
        for truth in truths:
            sample = DetDataSample(metainfo=dict(img_shape=(HEIGHT - 6, WIDTH)))
            sample.gt_instances = truth
            samples.append(sample)
        x = _features(3)
        losses = head.loss(x, samples, cues)
        loss = losses['loss_mask']
        # For the log; not part of the sum, and of every step's keys.
        assert losses['attention_lambda'] == losses['attention_mu'] == 1
        plan = head.plan_maps(cues, [t.bboxes for t in truths], SIZES)
        logits = head.map_logits(x, plan, 0, len(plan.images))
        total = 0.
        for truth, places in zip(truths, plan.places):
            masks = torch.from_numpy(truth.masks.masks)
            for j, (x1, y1, x2, y2) in enumerate(truth.bboxes.tolist()):
                soft = soft_mask_labels(masks[j:j + 1], (4, ), SIZES[:1])[0][0]
                p = balancing_padding(
                    masks[j].sum()[None].float(), torch.tensor([x2 - x1]),
                    torch.tensor([y2 - y1])).item()
                values = []
                for row in range(SIZES[0][0]):
                    for col in range(SIZES[0][1]):
                        px, py = 4 * col + 2, 4 * row + 2
                        if (max(x1 - p, 0) <= px <= min(x2 + p, WIDTH)
                                and max(y1 - p, 0) <= py <= min(
                                    y2 + p, HEIGHT - 6)):
                            values.append(
                                F.binary_cross_entropy_with_logits(
                                    logits[places[j], 0, row, col],
                                    soft[row, col]).item())
                total += np.mean(values)
        assert loss.item() == pytest.approx(total / 5, rel=1e-4)
        loss.backward()
        assert head.attention.background.grad != 0

    def test_masks_do_not_depend_on_chunks(self):
        boxes = torch.tensor([[5., 5, 60, 50]]).repeat(7, 1)
        boxes += torch.arange(7)[:, None]
        results = []
        for size in (1, 3, 50):
            head = _mask_head(max_maps_per_pass=size).eval()
            results.append(_predict(head, boxes, [1] * 7).masks)
        assert torch.equal(results[0], results[1])
        assert torch.equal(results[0], results[2])
        assert results[0].flatten(1).any(1).any()

    @pytest.mark.parametrize('number', [0, 1, 100])
    def test_overlapping_and_missing_detections(self, number):
        boxes = torch.tensor([[5., 5, 60, 50]]).repeat(number, 1)
        found = _predict(_mask_head().eval(), boxes, [1] * number)
        assert found.masks.shape == (number, HEIGHT, WIDTH)
        assert found.masks.dtype == torch.bool
        outside = torch.ones(HEIGHT, WIDTH, dtype=torch.bool)
        outside[5:50, 5:60] = False
        assert not found.masks[:, outside].any()

    def test_rescaled_masks(self):
        found = _predict(
            _mask_head().eval(),
            torch.tensor(APART), [0, 1, 0, 2],
            scale_factor=(2.0, 2.0),
            ori_shape=(HEIGHT // 2, WIDTH // 2),
            rescale=True)
        assert found.masks.shape == (4, HEIGHT // 2, WIDTH // 2)
        assert torch.equal(found.bboxes, torch.tensor(APART) / 2)

    def test_at_most_so_many_instances_learn(self):
        head = _mask_head(max_instances_to_train=2).train()
        sample = DetDataSample(metainfo=dict(img_shape=(HEIGHT, WIDTH)))
        sample.gt_instances = _truth(APART)
        seen = set()
        for seed in range(12):
            torch.manual_seed(seed)
            kept, cues = head._some(sample.gt_instances,
                                    _cues(APART, [0, 1, 0, 2]))
            assert len(kept) == len(cues.levels) == len(cues.centers) == 2
            seen |= set(kept.bboxes[:, 0].tolist())
        assert len(seen) == 4

    def test_no_instances_give_connected_zeros(self):
        head = _mask_head().train()
        sample = DetDataSample(metainfo=dict(img_shape=(HEIGHT, WIDTH)))
        sample.gt_instances = _truth([])
        losses = head.loss(_features(), [sample], [_cues([], [])])
        assert losses['loss_mask'] == 0
        assert losses['attention_mu'] == 1
        losses['loss_mask'].backward()
        assert all(p.grad is not None for p in head.parameters())

    def test_baseline_reads_the_channel_of_the_class(self):
        """Table 3a: one map an image, cut by box and class."""
        head = _mask_head(
            attention=None, class_agnostic=False, with_aspp=True).eval()
        boxes = torch.tensor(MIXED)
        one = _predict(head, boxes, [0] * 4, labels=[0, 1, 2, 3]).masks
        other = _predict(head, boxes, [0] * 4, labels=[0, 4, 2, 3]).masks
        assert torch.equal(one[[0, 2, 3]], other[[0, 2, 3]])
        assert not torch.equal(one[1], other[1])

    @pytest.mark.parametrize('name', [
        'max_instances_to_train', 'max_maps_per_pass', 'num_convs'])
    def test_bad_arguments(self, name):
        with pytest.raises(ValueError, match=f'`{name}` of FCOSISMaskHead'):
            _mask_head(**{name: 0})


def _predict(head, boxes, levels, labels=None, rescale=False, **meta):
    cues = _cues(boxes, levels)
    found = InstanceData(
        bboxes=boxes,
        scores=torch.ones(len(boxes)),
        labels=torch.tensor(
            labels or [0] * len(boxes), dtype=torch.long),
        levels=cues.levels,
        centers=cues.centers)
    found.set_metainfo(dict(cues=cues.maps))
    sample = DetDataSample(
        metainfo={
            'img_shape': (HEIGHT, WIDTH),
            'ori_shape': (HEIGHT, WIDTH),
            'scale_factor': (1.0, 1.0),
            **meta
        })
    with torch.no_grad():
        result, = head.predict(_features(), [sample], rescale, [found])
    return result
