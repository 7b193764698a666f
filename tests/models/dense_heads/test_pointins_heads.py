"""PointINS on FCOS and RetinaNet: places, positives and whole models."""
from pathlib import Path

import pytest
import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmseghead.functional.pyramid_points import ravel_places
from mmseghead.models.dense_heads import PointINSFCOSHead, PointINSRetinaHead
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

register_all_modules(init_default_scope=False)
ROOT = Path(__file__).resolve().parents[3]
CLASSES = 5
SIZES = [(10, 13), (5, 7), (3, 4)]
STRIDES = [4, 8, 16]
META = dict(
    img_shape=(40, 52),
    ori_shape=(80, 104),
    pad_shape=(40, 52),
    scale_factor=(0.5, 0.5))
TEST_CFG = ConfigDict(
    nms_pre=50,
    min_bbox_size=0,
    score_thr=0.05,
    nms=dict(type='nms', iou_threshold=0.5),
    max_per_img=20,
    mask_thr_binary=0.5)
GN = dict(type='GN', num_groups=2)
BRANCH = dict(
    type='mmseghead.PointINSMaskBranch',
    feat_channels=8,
    num_convs=1,
    predictor_channels=7,
    norm_cfg=GN,
    instance_conv=dict(
        type='mmseghead.InstanceAwareConv',
        out_channels=9,
        template_channels=4,
        template_size=3,
        hidden_channels=11))


@pytest.fixture(autouse=True)
def _scope():
    init_default_scope('mmdet')


def fcos_head(strides=STRIDES, **changes):
    torch.manual_seed(0)
    ranges = [(-1, 16), (16, 32), (32, 1e8)]
    args = dict(
        num_classes=CLASSES,
        in_channels=6,
        feat_channels=8,
        stacked_convs=1,
        strides=strides,
        regress_ranges=ranges[:len(strides) - 1] + [(ranges[len(strides) - 1][0], 1e8)],
        norm_cfg=GN,
        mask_branch=BRANCH,
        test_cfg=TEST_CFG)
    args.update(changes)
    return ready(PointINSFCOSHead(**args))


def retina_head(scales=3, ratios=(0.5, 1.0, 2.0), strides=STRIDES, **changes):
    torch.manual_seed(0)
    args = dict(
        num_classes=CLASSES,
        in_channels=6,
        feat_channels=8,
        stacked_convs=1,
        anchor_generator=dict(
            type='AnchorGenerator',
            octave_base_scale=2,
            scales_per_octave=scales,
            ratios=list(ratios),
            strides=strides),
        train_cfg=ConfigDict(
            assigner=dict(
                type='MaxIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0),
            sampler=dict(type='PseudoSampler'),
            allowed_border=-1,
            pos_weight=-1),
        mask_branch=BRANCH,
        test_cfg=TEST_CFG)
    args.update(changes)
    return ready(PointINSRetinaHead(**args))


def one_anchor(**changes):
    return retina_head(scales=1, ratios=(1.0, ), **changes)


def ready(head):
    head.init_weights()
    # Masks begin at 1/2 everywhere; here they must differ.
    torch.nn.init.normal_(head.mask_branch.predictor[-1].weight)
    return head


def pyramid(images=1, seed=0, sizes=SIZES):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(images, 6, *size, generator=generator) for size in sizes
    ]


def silent(head, images=1):
    """Outputs in which nothing is found, with random boxes."""
    anchors = head.num_base_priors
    generator = torch.Generator().manual_seed(4)
    scores = [
        torch.full((images, anchors * CLASSES, *size), -9.) for size in SIZES
    ]
    boxes = [
        torch.rand(images, anchors * 4, *size, generator=generator)
        for size in SIZES
    ]
    if not isinstance(head, PointINSFCOSHead):
        return scores, [box - 0.5 for box in boxes]
    factors = [torch.full((images, 1, *size), 9.) for size in SIZES]
    return scores, [box * 20 + 2 for box in boxes], factors


heads = pytest.mark.parametrize('make', [fcos_head, one_anchor, retina_head])


@heads
@pytest.mark.parametrize('rescale', [False, True])
def test_planted_peak_is_found_at_its_place(make, rescale):
    """One high score: its exact index survives top-k and suppression."""
    head = make().eval()
    anchors = head.num_base_priors
    for level, y, x, anchor, label in [(0, 0, 0, 0, 0), (0, 9, 12, 0, 4),
                                       (1, 3, 6, anchors - 1, 2),
                                       (2, 1, 2, anchors // 2, 3)]:
        outs = silent(head)
        outs[0][level][0, anchor * CLASSES + label, y, x] = 3.
        found, = head.predict_by_feat(
            *outs, batch_img_metas=[META], rescale=rescale)
        assert len(found) == 1 and found.labels.item() == label
        assert found.places.tolist() == [[level, y, x, anchor]]
        raw = outs[1][level][0, anchor * 4:anchor * 4 + 4, y, x]
        geometry = raw / STRIDES[level] if make is fcos_head else raw
        torch.testing.assert_close(found.geometry[0], geometry)
        prior = torch.cat(head.prior_generator.grid_priors(
            SIZES, device='cpu'))[ravel_places(*found.places.T, SIZES,
                                               anchors)]
        box = head.bbox_coder.decode(prior, raw[None], META['img_shape'])
        scale = 2 if rescale else 1  # scale_factor 0.5
        torch.testing.assert_close(found.bboxes, box * scale)


@heads
def test_detections_are_mmdets(make):
    """The override of mmdet's step changes nothing but adds places."""
    head = make().eval()
    outs = silent(head)
    generator = torch.Generator().manual_seed(6)
    for level in outs[0]:
        level.copy_(torch.randn(level.shape, generator=generator) * 2)
    found, = head.predict_by_feat(*outs, batch_img_metas=[META])
    base = type(head).__mro__[2]
    plain = base.predict_by_feat
    args = [[m[0] for m in kind] for kind in outs]
    if len(args) == 2:
        args.append([None] * len(SIZES))
    priors = head.prior_generator.grid_priors(SIZES, device='cpu')
    wanted = base._predict_by_feat_single(head, *args, priors, META, TEST_CFG)
    assert callable(plain) and len(found) == len(wanted) == 20
    assert torch.equal(found.scores, wanted.scores)
    assert torch.equal(found.labels, wanted.labels)
    assert torch.equal(found.bboxes, wanted.bboxes)
    # Each place points at the score and the box that it is said to be of.
    scores = torch.cat(
        [m[0].permute(1, 2, 0).reshape(-1, CLASSES) for m in outs[0]])
    rows = ravel_places(*found.places.T, SIZES, head.num_base_priors)
    picked = scores.sigmoid()[rows, found.labels]
    if len(outs) == 3:
        picked = picked * torch.tensor(9.).sigmoid()
    torch.testing.assert_close(found.scores, picked)


@heads
def test_nothing_found(make):
    head = make().eval()
    samples = [sample(META)]
    with torch.no_grad():
        found, = head.predict(
            pyramid(), samples, rescale=True)  # untrained scores: 0.01
    assert found.masks.shape == (0, 80, 104)
    assert found.places.shape == (0, 4)


def sample(meta):
    from mmdet.structures import DetDataSample
    return DetDataSample(metainfo=meta)


@heads
def test_batch_of_two_is_two_images(make):
    head = make(test_cfg=ConfigDict(TEST_CFG, score_thr=0.0)).eval()
    metas = [META, dict(META, img_shape=(37, 45), ori_shape=(74, 90))]
    x = pyramid(2)
    with torch.no_grad():
        both = head.predict(x, [sample(meta) for meta in metas])
        for i, meta in enumerate(metas):
            alone, = head.predict([level[i:i + 1] for level in x],
                                  [sample(meta)])
            assert len(alone) == 20 and alone.masks.any()
            assert torch.equal(alone.places, both[i].places)
            assert torch.equal(alone.masks, both[i].masks)
            assert alone.masks.shape[1:] == meta['img_shape']


def ground_truth(*boxes):
    return InstanceData(
        bboxes=torch.tensor(boxes).view(-1, 4),
        labels=torch.arange(len(boxes)) % CLASSES)


TRUTH = [
    ground_truth([2., 3., 21., 19.], [8., 10., 49., 38.], [30., 2., 37., 9.]),
    ground_truth(),
    ground_truth([5., 5., 25., 33.])
]
# The last image is smaller: anchors beyond its padding are not assigned.
METAS = [META, META, dict(META, img_shape=(34, 30), pad_shape=(36, 32))]


@heads
def test_positives_are_the_assigners(make):
    head = make().train()
    outs = silent(head, images=3)
    head.loss_by_feat(*outs, TRUTH, METAS)
    found = head.positives(outs[1], TRUTH, METAS)
    assert [len(item.gt_inds) > 0 for item in found] == [True, False, True]
    priors = head.prior_generator.grid_priors(SIZES, device='cpu')
    for item, truth, meta in zip(found, TRUTH, METAS):
        rows = ravel_places(*item.places.T, SIZES, head.num_base_priors)
        prior = torch.cat(priors)[rows]
        if make is fcos_head:
            wanted = fcos_assignment(priors, truth)
        else:
            wanted = retina_assignment(head, truth, meta)
        assert dict(zip(rows.tolist(), item.gt_inds.tolist())) == wanted
        raw = torch.stack([
            outs[1][level][i, a * 4:a * 4 + 4, y, x]
            for level, y, x, a in item.places.tolist()
            for i in [TRUTH.index(truth)]
        ]) if len(rows) else torch.zeros(0, 4)
        torch.testing.assert_close(
            item.boxes, head.bbox_coder.decode(prior, raw, meta['img_shape']))


def fcos_assignment(priors, truth):
    """Smallest box around a point whose reach is the level's, in a loop."""
    ranges = [(-1, 16), (16, 32), (32, 1e8)]
    wanted, row = {}, 0
    for (low, high), points in zip(ranges, priors):
        for x, y in points.tolist():
            best = None
            for i, (x1, y1, x2, y2) in enumerate(truth.bboxes.tolist()):
                sides = (x - x1, y - y1, x2 - x, y2 - y)
                area = (x2 - x1) * (y2 - y1)
                if min(sides) > 0 and low <= max(sides) <= high and (
                        best is None or area < best[0]):
                    best = area, i
            if best:
                wanted[row] = best[1]
            row += 1
    return wanted


def retina_assignment(head, truth, meta):
    """MaxIoUAssigner on the anchors within the padded image, in a loop."""
    anchors = torch.cat(head.prior_generator.grid_priors(SIZES, device='cpu'))
    valid = torch.cat(
        head.prior_generator.valid_flags(SIZES, meta['pad_shape'], 'cpu'))
    if not len(truth):
        return {}
    iou = bbox_overlaps(anchors, truth.bboxes)
    iou[~valid] = -1
    wanted = {}
    for row, values in enumerate(iou.tolist()):
        if max(values) >= 0.5:
            wanted[row] = values.index(max(values))
    for i in range(len(truth)):  # low quality matches
        for row in (iou[:, i] == iou[:, i].max()).nonzero()[:, 0].tolist():
            wanted[row] = i
    return wanted


@pytest.mark.parametrize('norm_on_bbox', [False, True])
def test_fcos_geometry_and_boxes_in_training(norm_on_bbox):
    """Strides in training and pixels in a test must end in one box."""
    head = fcos_head(norm_on_bbox=norm_on_bbox).train()
    outs = head(pyramid())
    head.loss_by_feat(*outs, TRUTH[:1], METAS[:1])
    found, = head.positives(outs[1], TRUTH[:1], METAS[:1])
    with torch.no_grad():
        tested = head.eval()(pyramid())[1]
    raw = torch.stack(
        [tested[level][0, :, y, x] for level, y, x, _ in found.places.tolist()])
    stride = torch.tensor(STRIDES)[found.places[:, 0], None]
    torch.testing.assert_close(found.geometry, raw / stride)
    points = torch.stack((found.places[:, 2], found.places[:, 1]), 1)
    points = (points + 0.5) * stride
    wanted = torch.cat((points - raw[:, :2], points + raw[:, 2:]), 1)
    limits = torch.tensor([52., 40., 52., 40.])
    torch.testing.assert_close(found.boxes,
                               wanted.clamp(min=0).minimum(limits))
    assert not found.boxes.requires_grad and not found.geometry.requires_grad


@heads
def test_mask_loss_leaves_the_regression_alone(make):
    head = make().train()
    data = fake_batch([(40, 52), (40, 52)], (3, 2), CLASSES)['data_samples']
    x = [level.requires_grad_() for level in pyramid(2)]
    head.loss(x, data)['loss_mask'].backward()
    branch = dict(head.mask_branch.named_parameters())
    for name, parameter in head.named_parameters():
        if name.removeprefix('mask_branch.') in branch and name.startswith(
                'mask_branch'):
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name


@heads
def test_only_one_level(make):
    head = make(strides=[8]).train()
    data = fake_batch([(40, 52)], (2, ), CLASSES)['data_samples']
    losses = head.loss(pyramid(sizes=[(5, 7)]), data)
    total = sum(sum(v) if isinstance(v, list) else v for v in losses.values())
    total.backward()
    assert torch.isfinite(total) and losses['loss_mask'] > 0
    head.test_cfg = ConfigDict(TEST_CFG, score_thr=0.0)
    with torch.no_grad():
        found, = head.eval().predict(
            pyramid(sizes=[(5, 7)]), data, rescale=False)
    assert len(found) and (found.places[:, 0] == 0).all()


@pytest.mark.parametrize('detector', ['fcos', 'retinanet'])
def test_only_the_config_makes_it_pointins(detector):
    """The quick model is the plain detector, and a mask branch on top."""
    folder = ROOT / 'configs/_base_/models'
    plain = Config.fromfile(folder / f'{detector}_lite0_fpn.py')
    model = Config.fromfile(folder / f'pointins-{detector}_lite0_fpn.py')
    init_default_scope('mmseghead')
    built = [MODELS.build(without_pretrained(c).model) for c in (plain, model)]
    assert type(built[0]) is type(built[1])
    left, right = (set(b.state_dict()) for b in built)
    assert left < right
    assert all(name.startswith('bbox_head.mask_branch.')
               for name in right - left)
