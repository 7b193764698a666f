"""The "++" heads: masks that know their instance, and weight its score."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmseghead.models.layers import InstanceFeatureFusion
from mmseghead.models.roi_heads.box_feature import pooled_box_feature
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[3]
PADDED = (96, 64)
FUSION = dict(
    type='mmseghead.InstanceFeatureFusion', inst_channels=256, channels=64)
KINDS = {
    'InstanceFeatureRoIHead': 'mask_rcnn/mask-rcnn_quick_shapes.py',
    'InstanceFeaturePointRendRoIHead':
    'point_rend/point-rend_quick_shapes.py',
    'RefineMaskRoIHead': 'refinemask/refinemask_quick_shapes.py',
}
each = pytest.mark.parametrize('kind', list(KINDS))


@pytest.fixture(scope='module', autouse=True)
def registered():
    register_all_modules(init_default_scope=False)


def build(kind, **kwargs):
    cfg = without_pretrained(Config.fromfile(ROOT / 'configs' / KINDS[kind]))
    init_default_scope('mmseghead')
    cfg.merge_from_dict(dict(model=dict(roi_head=dict(type=kind, **kwargs))))
    torch.manual_seed(0)
    head = MODELS.build(cfg.model).roi_head
    with torch.no_grad():  # or first masks are all the same
        for name, value in head.mask_head.named_parameters():
            if value.dim() > 1:
                value.mul_(2)
    return head.eval()


@pytest.fixture(scope='module')
def heads():
    return {
        kind: build(kind, instance_fusion=FUSION, mask_score_weighting=True)
        for kind in KINDS
    }


def pyramid(images=2):
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(
            images, 64, PADDED[0] // s, PADDED[1] // s, generator=generator)
        for s in (4, 8, 16, 32, 64))


METAS = [
    dict(img_shape=(96, 60), ori_shape=(48, 30), scale_factor=(2., 2.)),
    dict(img_shape=(48, 64), ori_shape=(48, 64), scale_factor=(1., 1.))
]
BOXES = [[[4., 6., 58., 90.], [30., 10., 41., 31.]], [[8., 9., 60., 45.]]]


def found(boxes=BOXES):
    return [
        InstanceData(
            bboxes=torch.tensor(b).view(-1, 4),
            scores=torch.linspace(0.9, 0.5, len(b)),
            labels=torch.arange(len(b)) + 1) for b in boxes
    ]


def predict(head, boxes=BOXES, images=2):
    with torch.no_grad():
        return head.predict_mask(
            pyramid(images), METAS[:images], found(boxes), True)


def logits_of(head):
    items = found()
    rois = torch.cat([
        torch.cat([torch.full((len(b), 1), float(i)), b.bboxes], 1)
        for i, b in enumerate(items)
    ])
    with torch.no_grad():
        return head.mask_logits(pyramid(), rois, items)


@each
def test_scores_are_weighted(heads, kind):
    got = predict(heads[kind])
    for item, plain, maps in zip(got, found(), logits_of(heads[kind])):
        for score, first, label, logits in zip(item.scores, plain.scores,
                                               plain.labels, maps):
            logits = logits[min(int(label), len(logits) - 1)]
            probs = [p for p in logits.sigmoid().flatten().tolist() if p > .5]
            mean = sum(probs) / max(len(probs), 1)
            assert float(score) == pytest.approx(float(first) * mean, rel=1e-4)
            assert mean == 0 or 0.5 < mean < 1


def test_golden_score(heads, monkeypatch):
    """0.9 * (0.75 + 0.6) / 2, of the box's class."""
    head = heads['InstanceFeatureRoIHead']
    logits = torch.full((1, 6, 28, 28), 3.)
    logits[0, 1] = -1.
    logits[0, 1, 5, 6:8] = torch.tensor([0.75, 0.6]).logit()
    monkeypatch.setattr(head, 'mask_logits', lambda *args: [logits])
    item, = predict(head, [BOXES[0][:1]], 1)
    assert item.scores.tolist() == pytest.approx([0.9 * 0.675])
    logits[0, 1] = -1.
    item, = predict(head, [BOXES[0][:1]], 1)
    assert item.scores.tolist() == [0.]


@each
def test_fusion_changes_masks(heads, kind):
    head = heads[kind]
    with_fusion = logits_of(head)
    with torch.no_grad():
        fusion, head.instance_fusion = head.instance_fusion, None
        without = logits_of(head)
        head.instance_fusion = fusion
        # Another box head: the same features of masks, another instance.
        layer = head.bbox_head.shared_fcs[-1]
        layer.weight.neg_()
        other = logits_of(head)
        layer.weight.neg_()
    for one, two, three in zip(with_fusion, without, other):
        assert not torch.allclose(one, two, atol=1e-3)
        assert not torch.allclose(one, three, atol=1e-3)


@each
def test_batch_equals_single_images(heads, kind):
    together = predict(heads[kind])
    alone = predict(heads[kind], BOXES[:1], 1)
    assert torch.allclose(alone[0].scores, together[0].scores, atol=1e-5)
    same = alone[0].masks == together[0].masks
    assert same.float().mean() > 0.999 and alone[0].masks.any()


@each
def test_nothing_found(heads, kind):
    got = predict(heads[kind], [[], BOXES[1]])
    assert [item.masks.shape for item in got] == [(0, 48, 30), (1, 48, 64)]
    none, = predict(heads[kind], [[]], 1)
    assert none.masks.shape == (0, 48, 30) and none.scores.shape == (0, )


@each
@pytest.mark.parametrize('counts', [(2, 1), (0, 0)])
def test_losses_reach_the_box_head(heads, kind, counts):
    head = heads[kind].train()
    head.zero_grad()
    samples = fake_batch([PADDED, PADDED], counts, 6)['data_samples']
    far = torch.tensor([[1., 2., 9., 12.], [40., 60., 50., 80.]])
    boxes = [
        InstanceData(bboxes=torch.cat([s.gt_instances.bboxes, far]))
        for s in samples
    ]
    losses = head.loss(pyramid(), boxes, samples)
    mask_losses = [
        value for name, value in losses.items()
        if name in ('loss_mask', 'loss_point')
    ]
    head.eval()
    assert mask_losses and all(torch.isfinite(v) for v in mask_losses)
    sum(mask_losses).backward()
    fusion, box = head.instance_fusion, head.bbox_head.shared_fcs[0]
    # Without positives gradients are 0 but there, for distributed training.
    assert all(p.grad is not None for p in fusion.parameters())
    for layer in (fusion.project, fusion.first, fusion.second, box):
        if sum(counts):
            assert layer.weight.grad.abs().sum() > 0


def test_half_precision_keeps_boxes(heads):
    """Pooling is in single precision whatever the maps are."""
    head = heads['InstanceFeatureRoIHead']
    rois = torch.tensor([[0., 3.3, 5.7, 60.1, 90.9]])
    low = [level.bfloat16() for level in pyramid(1)]
    with torch.no_grad():
        want = head.pooled_mask_feats([v.float() for v in low], rois)
        got = head.pooled_mask_feats(low, rois)
    assert got.dtype == torch.float32 and torch.equal(got, want)


def test_fusion_needs_its_own_extractor():
    with pytest.raises(ValueError, match='`mask_roi_extractor`.*got None'):
        build('InstanceFeatureRoIHead', instance_fusion=FUSION,
              mask_roi_extractor=None)


def test_fusion_layer_step_by_step():
    """x + W2 relu(W1 [relu(Wq q), x]), on every cell."""
    torch.manual_seed(0)
    layer = InstanceFeatureFusion(7, 5)
    feats, known = torch.randn(3, 5, 4, 6), torch.randn(3, 7)
    got = layer(feats, known)
    query = layer.project(known).relu()[:, :, None, None]
    joint = torch.cat([query.expand(-1, -1, 4, 6), feats], 1)
    want = feats + layer.second(layer.first(joint).relu())
    assert torch.allclose(got, want, atol=1e-6)
    assert layer(feats[:0], known[:0]).shape == (0, 5, 4, 6)
    layer = InstanceFeatureFusion(256, 256)
    assert sum(p.numel() for p in layer.parameters()) == 65792 + 197120


def test_box_feature_of_no_roi(heads):
    head = heads['RefineMaskRoIHead']
    none = pooled_box_feature(head, pyramid(), torch.zeros(0, 5))
    assert none.shape == (0, 256)
