"""EffSeg's RoI heads on box detectors and on query detectors."""
from pathlib import Path

import pytest
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmseghead.models.roi_heads.box_feature import pooled_box_feature
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[3]
SHAPES = [(64, 96), (80, 48)]
PADDED = (96, 96)


@pytest.fixture(scope='module', autouse=True)
def registered():
    register_all_modules(init_default_scope=False)


def build(name, scope, **roi_head):
    cfg = without_pretrained(Config.fromfile(ROOT / 'configs' / name))
    init_default_scope(scope)
    cfg.merge_from_dict(dict(model=dict(roi_head=roi_head)))
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


@pytest.fixture(scope='module')
def quick():
    model = build('effseg/effseg_quick_shapes.py', 'mmseghead',
                  mask_head=dict(num_refine=150, num_refine_train=40))
    model.roi_head.max_mask_rois = 5
    return model


@pytest.fixture
def box_head(quick):
    return quick.roi_head


def pyramid(images=2, seed=0, channels=64):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(
            images, channels, PADDED[0] // s, PADDED[1] // s,
            generator=generator) for s in (4, 8, 16, 32, 64))


def samples_of(counts):
    batch = fake_batch([PADDED, PADDED], counts, 6)
    return batch['data_samples']


def proposals(samples):
    """Boxes near the objects and anywhere."""
    found = []
    for i, sample in enumerate(samples):
        torch.manual_seed(i)
        corner = torch.rand(20, 2) * 60
        anywhere = torch.cat([corner, corner + 5 + torch.rand(20, 2) * 30], 1)
        near = sample.gt_instances.bboxes.repeat(6, 1)
        near = near + torch.randn(len(near), 4)
        found.append(InstanceData(bboxes=torch.cat([near, anywhere])))
    return found


def loss_of(head, samples, x=None):
    torch.manual_seed(3)
    return head.loss(x or pyramid(), proposals(samples), samples)


def test_losses_have_one_term_per_stage(box_head):
    losses = loss_of(box_head.train(), samples_of((3, 2)))
    names = {f'loss_{k}_s{s}' for k in ('seg', 'ref') for s in range(4)}
    assert names <= set(losses)
    assert all(torch.isfinite(losses[name]) for name in names)


@pytest.mark.parametrize('counts', [(0, 0), (2, 0)])
def test_images_without_objects(box_head, counts):
    box_head.train().zero_grad()
    losses = loss_of(box_head, samples_of(counts))
    total = sum(v for k, v in losses.items() if k.startswith('loss'))
    total.backward()
    assert torch.isfinite(total)
    assert all(p.grad is not None for p in box_head.mask_head.parameters())
    if not sum(counts):
        assert losses['loss_seg_s3'] == 0


def test_number_of_mask_rois_is_bounded(box_head):
    seen = []
    handle = box_head.mask_head.register_forward_pre_hook(
        lambda module, args: seen.append(args[1]))
    loss_of(box_head.train(), samples_of((3, 2)))
    handle.remove()
    counts = [int((seen[0][:, 0] == i).sum()) for i in (0, 1)]
    assert counts == [5, 5]
    assert not seen[0].requires_grad


def detections(boxes):
    boxes = torch.tensor(boxes)
    return InstanceData(
        bboxes=boxes,
        scores=torch.linspace(0.9, 0.4, len(boxes)),
        labels=torch.arange(len(boxes)) % 6)


METAS = [
    dict(img_shape=(64, 96), ori_shape=(32, 24), scale_factor=(4., 2.)),
    dict(img_shape=(80, 48), ori_shape=(40, 96), scale_factor=(0.5, 2.))
]
BOXES = [[[4., 6., 90., 60.], [30., 10., 31., 11.], [4., 6., 90., 60.]],
         [[-20., -9., 60., 99.]]]


def predict_mask(head, x, boxes, metas, rescale=True):
    with torch.no_grad():
        return head.eval().predict_mask(
            x, metas, [detections(b) for b in boxes], rescale)


@pytest.mark.parametrize('rescale', [True, False])
def test_batch_of_unlike_images_equals_single_images(box_head, rescale):
    x = pyramid()
    both = predict_mask(box_head, x, BOXES, METAS, rescale)
    for i in (0, 1):
        alone, = predict_mask(box_head, tuple(level[[i]] for level in x),
                              [BOXES[i]], [METAS[i]], rescale)
        assert torch.equal(alone.bboxes, both[i].bboxes)
        assert torch.allclose(alone.scores, both[i].scores, atol=1e-5)
        assert (alone.masks != both[i].masks).float().mean() < 0.001
        shape = METAS[i]['ori_shape' if rescale else 'img_shape']
        assert alone.masks.shape == (len(BOXES[i]), *shape)


def test_boxes_are_rescaled_once(box_head):
    found = predict_mask(box_head, pyramid(), BOXES, METAS)
    assert found[0].bboxes[0].tolist() == [1., 3., 22.5, 30.]
    assert found[1].bboxes[0].tolist() == [-40., -4.5, 120., 49.5]


def test_one_mask_for_a_box_of_several_classes(box_head):
    seen = []
    handle = box_head.mask_head.register_forward_pre_hook(
        lambda module, args: seen.append(args[1]))
    found = predict_mask(box_head, pyramid(), BOXES, METAS)
    handle.remove()
    assert len(seen[0]) == 3
    assert torch.equal(found[0].masks[0], found[0].masks[2])
    assert not torch.equal(found[0].masks[0], found[0].masks[1])


def test_boxes_beyond_the_image_are_cut(box_head):
    """Features, cells and pasting all use the box within the image."""
    inside = [[[0., 0., 48., 80.]]]
    beyond = [[[-70., -9., 60., 99.]]]
    x, metas = pyramid(1), METAS[1:]
    a, = predict_mask(box_head, x, inside, metas)
    b, = predict_mask(box_head, x, beyond, metas)
    assert torch.equal(a.masks, b.masks) and a.masks.any()
    outside, = predict_mask(box_head, x, [[[200., 300., 210., 310.]]], metas)
    assert outside.masks.shape == (1, 40, 96)


def test_nothing_found(box_head):
    boxes = [torch.zeros(0, 4).tolist(), BOXES[1]]
    found = [detections(b) for b in boxes]
    found[0].bboxes = found[0].bboxes.view(0, 4)
    with torch.no_grad():
        got = box_head.eval().predict_mask(pyramid(), METAS, found, True)
        none = box_head.predict_mask(
            pyramid(1), METAS[:1], [found[0][:0]], True)
    assert got[0].masks.shape == (0, 32, 24)
    assert got[1].masks.shape == (1, 40, 96)
    assert none[0].masks.shape == (0, 32, 24)


def test_tensor_mode(box_head):
    boxes = [InstanceData(bboxes=torch.tensor(b)) for b in BOXES]
    scores, deltas, masks = box_head.eval()(pyramid(), boxes)
    assert scores.shape == (4, 7) and deltas.shape == (4, 4)
    assert masks.shape == (4, 1, 112, 112)


def test_box_feature_is_that_of_the_box_head(box_head):
    rois = bbox2roi([torch.tensor(b) for b in BOXES])
    x = pyramid()
    with torch.no_grad():
        feats = pooled_box_feature(box_head, x, rois)
        want = box_head._bbox_forward(x, rois)['cls_score']
        assert torch.allclose(
            box_head.bbox_head.fc_cls(feats), want, atol=1e-5)
    assert pooled_box_feature(box_head, x, rois[:0]).shape == (0, 256)


def test_box_feature_needs_shared_layers():
    head = torch.nn.Module()
    head.bbox_head = torch.nn.Linear(2, 2)
    with pytest.raises(TypeError, match='shared fully connected'):
        pooled_box_feature(head, (), torch.zeros(0, 5))


def test_box_features_as_instance_features():
    model = build('effseg/effseg_quick_shapes.py', 'mmseghead',
                  mask_head=dict(inst_feat_channels=256, num_refine=20))
    head = model.roi_head.train()
    losses = loss_of(head, samples_of((2, 1)))
    sum(losses[f'loss_seg_s{s}'] for s in range(4)).backward()
    assert head.mask_head.fusion.project.weight.grad.abs().sum() > 0
    assert head.bbox_head.shared_fcs[0].weight.grad.abs().sum() > 0
    assert len(predict_mask(head, pyramid(), BOXES, METAS)[0].masks) == 3


NUM_QUERIES = 7


@pytest.fixture(scope='module')
def query_head():
    cfg = Config.fromfile(
        ROOT / 'configs/effseg/effseg-query_r50_fpn_1x_coco.py')
    init_default_scope('mmdet')
    head = cfg.model.roi_head
    head.update(num_stages=2, stage_loss_weights=[1, 1],
                bbox_head=head.bbox_head[:2])
    for part in head.bbox_head:
        part.update(num_classes=6)
    head.mask_head.update(
        feat_channels=16, num_convs=1, num_refine=60)
    train_cfg = cfg.model.train_cfg.rcnn[:2]
    test_cfg = cfg.model.test_cfg.rcnn
    test_cfg.max_per_img = NUM_QUERIES  # of 42 pairs of query and class
    torch.manual_seed(0)
    return MODELS.build(dict(head, train_cfg=train_cfg, test_cfg=test_cfg))


def queries(samples):
    found = []
    for i, sample in enumerate(samples):
        torch.manual_seed(i)
        height, width = sample.img_shape
        boxes = torch.rand(NUM_QUERIES, 4) * 40
        boxes[:, 2:] += boxes[:, :2] + 4
        found.append(
            InstanceData(
                bboxes=boxes,
                features=torch.randn(NUM_QUERIES, 256),
                imgs_whwh=boxes.new_tensor([[width, height] * 2]).repeat(
                    NUM_QUERIES, 1)))
    return found


@pytest.mark.parametrize('counts', [(3, 2), (2, 0), (0, 0)])
def test_query_losses(query_head, counts):
    samples = samples_of(counts)
    query_head.train().zero_grad()
    losses = query_head.loss(pyramid(channels=256), queries(samples), samples)
    mask_terms = [name for name in losses if '_seg_' in name]
    # One mask head, in the last stage.
    assert sorted(mask_terms) == [f's1.loss_seg_s{s}' for s in range(4)]
    sum(losses[name] for name in losses if 'loss' in name).backward()
    head = query_head.mask_head
    assert all(p.grad is not None for p in head.parameters())
    grad = head.fusion.project.weight.grad.abs().sum()
    assert (grad > 0) == (sum(counts) > 0)


def test_query_predictions(query_head):
    samples = samples_of((0, 0))
    metas = [sample.metainfo for sample in samples]
    x = pyramid(channels=256)
    seen = []
    handle = query_head.mask_head.register_forward_pre_hook(
        lambda module, args: seen.append(args))
    stages = []
    other = query_head.bbox_head[-1].register_forward_hook(
        lambda module, args, output: stages.append(output))
    with torch.no_grad():
        query_head.eval()
        results = query_head.predict(x, queries(samples), samples)
    handle.remove()
    other.remove()
    _, rois, feats = seen[0]
    # One mask a query; its feature is that which leaves the last stage.
    assert len(rois) == len(feats) <= 2 * NUM_QUERIES
    final = stages[-1][2]
    for roi, feat in zip(rois, feats):
        found = (final[int(roi[0])] - feat).abs().amax(1)
        assert found.min() < 1e-6
    for item, meta in zip(results, metas):
        assert set(item.keys()) == {'bboxes', 'scores', 'labels', 'masks'}
        assert item.masks.shape == (NUM_QUERIES, *meta['ori_shape'])
        same = (item.bboxes[:, None] == item.bboxes).all(2).triu(1)
        for first, second in same.nonzero().tolist():
            assert torch.equal(item.masks[first], item.masks[second])
    assert len(rois) < 2 * NUM_QUERIES
