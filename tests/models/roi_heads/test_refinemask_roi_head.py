"""RefineMask's RoI head on the quick detector."""
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData

from mmseghead.models.roi_heads import refinemask_roi_head
from mmseghead.testing import fake_batch, without_pretrained
from mmseghead.utils import register_all_modules

ROOT = Path(__file__).resolve().parents[3]
PADDED = (96, 64)
CLASSES = 6


@pytest.fixture(scope='module')
def quick():
    register_all_modules(init_default_scope=False)
    cfg = without_pretrained(
        Config.fromfile(ROOT / 'configs/refinemask/refinemask_quick_shapes.py'))
    init_default_scope('mmseghead')
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.roi_head.mask_head.logits_std = 0.5
    model.roi_head.mask_head.init_weights()
    return model.roi_head


@pytest.fixture
def head(quick):
    quick.max_mask_rois = 5
    quick.mask_score_weighting = False
    quick.mask_head.sparse_last_stage = False
    return quick.eval()


def pyramid(images=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(
            images, 64, PADDED[0] // s, PADDED[1] // s, generator=generator)
        for s in (4, 8, 16, 32, 64))


def samples_of(counts):
    return fake_batch([PADDED, PADDED], counts, CLASSES)['data_samples']


def proposals(samples):
    """Boxes near the objects and anywhere."""
    found = []
    for i, sample in enumerate(samples):
        torch.manual_seed(i)
        corner = torch.rand(20, 2) * 40
        anywhere = torch.cat([corner, corner + 5 + torch.rand(20, 2) * 20], 1)
        near = sample.gt_instances.bboxes.repeat(6, 1)
        near = near + torch.randn(len(near), 4)
        found.append(InstanceData(bboxes=torch.cat([near, anywhere])))
    return found


def loss_of(head, counts):
    """Return the losses and what the mask head was given."""
    samples, seen = samples_of(counts), []
    handle = head.mask_head.register_forward_pre_hook(
        lambda module, args: seen.append(args))
    torch.manual_seed(3)
    losses = head.train().loss(pyramid(), proposals(samples), samples)
    handle.remove()
    return losses, seen[0], samples


def test_losses(head):
    losses, (feats, finest, rois, labels), samples = loss_of(head, (3, 2))
    assert {'loss_mask', 'loss_semantic', 'loss_cls'} <= set(losses)
    assert all(torch.isfinite(v).all() for v in losses.values())
    assert losses['loss_mask'] > 0.1
    assert torch.equal(finest, pyramid()[0])
    counts = [int((rois[:, 0] == i).sum()) for i in (0, 1)]
    assert counts == [5, 5] and not rois.requires_grad
    # Each RoI has the class of the object that it covers.
    for roi, label in zip(rois, labels):
        truth = samples[int(roi[0])].gt_instances
        corners = (truth.bboxes - roi[1:]).abs().sum(1)
        assert truth.labels[corners.argmin()] == label


def test_all_positives_by_default(head):
    head.max_mask_rois = None
    _, (_, _, rois, _), _ = loss_of(head, (3, 2))
    assert [int((rois[:, 0] == i).sum()) for i in (0, 1)] == [21, 14]


@pytest.mark.parametrize('counts', [(0, 0), (2, 0), (0, 1)])
def test_images_without_objects(head, counts):
    head.zero_grad()
    losses, (_, _, rois, _), _ = loss_of(head, counts)
    sum(v for k, v in losses.items() if k.startswith('loss')).backward()
    assert (len(rois) == 0) == (losses['loss_mask'] == 0) == (not sum(counts))
    assert losses['loss_semantic'] > 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all()
               for p in head.mask_head.parameters())


def detections(boxes):
    boxes = torch.tensor(boxes).view(-1, 4)
    return InstanceData(
        bboxes=boxes,
        scores=torch.linspace(0.9, 0.4, len(boxes)),
        labels=torch.arange(len(boxes)) % CLASSES)


METAS = [
    dict(img_shape=(96, 60), ori_shape=(24, 30), scale_factor=(2., 4.)),
    dict(img_shape=(48, 64), ori_shape=(96, 32), scale_factor=(2., 0.5))
]
BOXES = [[[4., 6., 58., 90.], [30., 10., 31., 11.], [2., 8., 40., 70.]],
         [[8., 9., 60., 45.]]]


def predict_mask(head, x, boxes, metas, rescale=True):
    with torch.no_grad():
        return head.predict_mask(
            x, metas, [detections(b) for b in boxes], rescale)


@pytest.mark.parametrize('rescale', [True, False])
def test_batch_of_unlike_images_equals_single_images(head, rescale):
    x = pyramid()
    both = predict_mask(head, x, BOXES, METAS, rescale)
    for i in (0, 1):
        alone, = predict_mask(head, tuple(level[[i]] for level in x),
                              [BOXES[i]], [METAS[i]], rescale)
        assert torch.equal(alone.bboxes, both[i].bboxes)
        assert (alone.masks != both[i].masks).float().mean() < 0.001
        shape = METAS[i]['ori_shape' if rescale else 'img_shape']
        assert alone.masks.shape == (len(BOXES[i]), *shape)
        assert alone.masks.any() and not alone.masks.all()
    scale = torch.tensor(METAS[0]['scale_factor']).repeat(2)
    want = torch.tensor(BOXES[0]) / (scale if rescale else 1)
    assert torch.equal(both[0].bboxes, want)


def logits_of(head, boxes=BOXES):
    boxes = [detections(b) for b in boxes]
    rois = torch.cat([
        torch.cat([torch.full((len(b), 1), float(i)), b.bboxes], 1)
        for i, b in enumerate(boxes)
    ])
    with torch.no_grad():
        return head.mask_logits(pyramid(), rois, boxes)


def test_chunks(head, monkeypatch):
    whole = logits_of(head)
    assert [part.shape for part in whole] == [(3, 1, 112, 112),
                                              (1, 1, 112, 112)]
    monkeypatch.setattr(refinemask_roi_head, 'CHUNK_SIZE', 3)
    for one, other in zip(whole, logits_of(head)):
        assert torch.allclose(one, other, atol=1e-5)


def test_sparse_last_stage(head):
    dense = logits_of(head)
    head.mask_head.sparse_last_stage = True
    for one, other in zip(dense, logits_of(head)):
        assert torch.allclose(one, other, atol=1e-4)


def test_masks_follow_the_predicted_class(head):
    one = logits_of(head)[0][1]
    boxes = [[BOXES[0][1]], []]  # the same box, now of class 0
    two = logits_of(head, boxes)[0][0]
    assert not torch.allclose(one, two, atol=1e-3)


def test_nothing_found(head):
    got = predict_mask(head, pyramid(), [[], BOXES[1]], METAS)
    assert got[0].masks.shape == (0, 24, 30)
    assert got[1].masks.shape == (1, 96, 32)
    none, = predict_mask(head, pyramid(1), [[]], METAS[:1])
    assert none.masks.shape == (0, 24, 30)


def test_scores_are_kept_or_weighted(head):
    plain = predict_mask(head, pyramid(), BOXES, METAS)
    assert torch.equal(plain[0].scores, detections(BOXES[0]).scores)
    head.mask_score_weighting = True
    weighted = predict_mask(head, pyramid(), BOXES, METAS)
    for one, other, maps in zip(plain, weighted, logits_of(head)):
        probs = maps.sigmoid()
        inside = probs > 0.5
        area = inside.sum((1, 2, 3)).clamp(min=1)  # an empty mask has 0
        mean = (probs * inside).sum((1, 2, 3)) / area
        assert torch.allclose(other.scores, one.scores * mean, atol=1e-6)
        assert torch.equal(one.masks, other.masks)


def test_tensor_mode(head):
    boxes = [InstanceData(bboxes=torch.tensor(b)) for b in BOXES]
    with torch.no_grad():
        scores, deltas, masks = head(pyramid(), boxes)
    assert scores.shape == (4, CLASSES + 1) and len(deltas) == 4
    assert masks.shape == (4, 1, 112, 112)


def test_half_precision(head):
    want = logits_of(head)[0]
    with torch.autocast('cpu', torch.bfloat16):
        got = logits_of(head)[0]
        losses, _, _ = loss_of(head, (2, 1))
    assert got.dtype == torch.float32
    error = (got - want).abs().flatten()
    assert error.median() < 0.1 * want.std()
    assert torch.isfinite(losses['loss_mask'])
