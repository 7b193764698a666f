"""PointINS's mask branch: frames, targets, loss and predictions."""
import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmseghead.models.dense_heads import PointINSMaskBranch
from mmseghead.models.dense_heads.pointins_mask_branch import (Positives,
                                                               batch_points)
from mmseghead.utils import register_all_modules

register_all_modules(init_default_scope=False)
IN, CLASSES, ANCHORS = 6, 5, 3
SIZES = [(10, 13), (5, 7)]
HEIGHT, WIDTH = 40, 52


def branch(**changes):
    torch.manual_seed(0)
    conv = dict(
        type='mmseghead.InstanceAwareConv',
        out_channels=9,
        template_channels=4,
        template_size=3,
        hidden_channels=11)
    conv.update(changes.pop('instance_conv', {}))
    args = dict(
        in_channels=IN,
        num_classes=CLASSES,
        num_anchors=ANCHORS,
        instance_conv=conv,
        feat_channels=8,
        num_convs=2,
        predictor_channels=7,
        norm_cfg=dict(type='GN', num_groups=2))
    args.update(changes)
    built = PointINSMaskBranch(**args)
    built.init_weights()
    # Masks begin at 1/2 everywhere; here they must differ.
    torch.nn.init.normal_(built.predictor[-1].weight)
    return built


def pyramid(images=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(images, IN, *size, generator=generator)
            for size in SIZES]


def truth():
    masks = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    masks[0, 4:20, 6:30] = 1
    masks[1, 22:38, 10:18] = 1
    return InstanceData(
        bboxes=torch.tensor([[6., 4., 30., 20.], [10., 22., 18., 38.]]),
        labels=torch.tensor([3, 1]),
        masks=BitmapMasks(masks, HEIGHT, WIDTH))


def positives(boxes, gt_inds):
    number = len(gt_inds)
    generator = torch.Generator().manual_seed(number)
    places = torch.stack([
        torch.randint(high, (number, ), generator=generator)
        for high in (2, 5, 7, ANCHORS)
    ], 1)
    return Positives(
        places, torch.randn(number, 4, generator=generator),
        torch.tensor(boxes).view(-1, 4),
        torch.tensor(gt_inds, dtype=torch.long))


NEAR = [7., 4., 30., 21.]  # IoU 0.90 with instance 0
FAR = [20., 4., 50., 20.]  # IoU 0.23


@pytest.mark.parametrize('mask_box, first, second', [
    ('mixed', NEAR, [6., 4., 30., 20.]),
    ('pred', NEAR, FAR),
    ('gt', [6., 4., 30., 20.], [6., 4., 30., 20.]),
])
def test_frames(mask_box, first, second):
    found = branch(mask_box=mask_box).frames(
        positives([NEAR, FAR], [0, 0]),
        truth().bboxes)
    assert found.tolist() == [first, second]


def test_targets_are_the_assigned_masks_in_their_frames():
    module = branch(mask_box='pred')
    right_half = [18., 4., 42., 20.]
    found = module.targets(
        positives([[10., 22., 18., 38.], right_half, [0., 0., 5., 3.]],
                  [1, 0, 1]), truth())
    assert found.shape == (3, 12, 12)
    assert found[0].all()
    assert found[1, :, :6].all() and not found[1, :, 6:].any()
    assert not found[2].any()


def test_loss_is_the_mean_over_instances():
    module, x = branch(), pyramid()
    chosen = [positives([NEAR, FAR, NEAR], [0, 0, 0]),
              positives([[9., 21., 18., 38.]], [1])]
    found = module.loss(x, chosen, [truth(), truth()])
    logits = module(
        module.features(x), batch_points([c.places for c in chosen]),
        torch.cat([c.geometry for c in chosen]))[:, 0]
    total = 0.
    for row, (item, i) in enumerate([(chosen[0], 0), (chosen[0], 1),
                                     (chosen[0], 2), (chosen[1], 0)]):
        single = Positives(*(field[i:i + 1] for field in item))
        target = module.targets(single, truth())[0]
        prob = logits[row].sigmoid()
        entropy = -(target * prob.log() + (1 - target) * (1 - prob).log())
        total = total + entropy.mean() / 4
    torch.testing.assert_close(found, total)


def test_no_positives_are_a_connected_zero():
    module = branch()
    x = [level.requires_grad_() for level in pyramid()]
    loss = module.loss(x, [positives([], []), positives([], [])],
                       [truth()[:0], truth()])
    assert loss == 0
    loss.backward()
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter)), name


def test_gradient_reaches_tower_template_and_weights_only():
    module = branch()
    chosen = positives([NEAR, [10., 22., 19., 37.]], [0, 1])
    chosen = chosen._replace(
        geometry=chosen.geometry.requires_grad_(),
        boxes=chosen.boxes.requires_grad_())
    module.loss(pyramid(1), [chosen], [truth()]).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    assert chosen.geometry.grad is None and chosen.boxes.grad is None


def test_per_class_masks_are_those_of_the_label():
    module = branch(class_agnostic=False)
    chosen = positives([NEAR, [10., 22., 19., 37.]], [0, 1])
    module.loss(pyramid(1), [chosen], [truth()]).backward()
    touched = module.predictor[-1].bias.grad != 0
    assert touched.tolist() == [False, True, False, True, False]


def test_draw():
    module = branch(max_positives=4)
    few = positives([NEAR] * 4, [0] * 4)
    assert module.draw(few) is few
    many = positives([NEAR] * 30, list(range(30)))
    torch.manual_seed(3)
    first, second = module.draw(many), module.draw(many)
    torch.manual_seed(3)
    again = module.draw(many)
    assert len(first.gt_inds) == 4 == len(first.gt_inds.unique())
    assert torch.equal(first.places, many.places[first.gt_inds])
    assert torch.equal(first.geometry, many.geometry[first.gt_inds])
    assert torch.equal(first.gt_inds, again.gt_inds)
    assert not torch.equal(first.gt_inds, second.gt_inds)


def detections(number, seed):
    item = positives([[3. * i, 2. * i, 3. * i + 15, 2. * i + 11]
                      for i in range(number)], list(range(number)))
    generator = torch.Generator().manual_seed(seed)
    return InstanceData(
        bboxes=item.boxes,
        labels=torch.randint(CLASSES, (number, ), generator=generator),
        places=item.places,
        geometry=torch.randn(number, 4, generator=generator))


@pytest.mark.parametrize('class_agnostic', [True, False])
def test_order_and_batch(class_agnostic):
    module, x = branch(class_agnostic=class_agnostic), pyramid()
    shapes = [(40, 52), (33, 47)]
    with torch.no_grad():
        both = module.predict(x, [detections(7, 1), detections(4, 2)], shapes,
                              0.5)
        order = torch.tensor([4, 0, 6, 2, 1, 5, 3])
        moved, empty = module.predict(
            x, [detections(7, 1)[order], detections(0, 3)], shapes, 0.5)
        second, = module.predict([level[1:] for level in x],
                                 [detections(4, 2)], shapes[1:], 0.5)
    assert both[0].masks.shape == (7, 40, 52) and both[0].masks.any()
    assert torch.equal(moved.masks, both[0].masks[order])
    assert empty.masks.shape == (0, 33, 47)
    assert torch.equal(second.masks, both[1].masks)
    assert 'geometry' not in both[0] and both[0].places.shape == (7, 4)


def test_no_detections():
    none = [detections(0, 1), detections(0, 1)]
    found = branch().predict(pyramid(), none, [(9, 5)] * 2, 0.5)
    assert [item.masks.shape for item in found] == [(0, 9, 5)] * 2
    assert found[0].masks.dtype == torch.bool


def test_mask_size_follows_the_template():
    module = branch(instance_conv=dict(template_size=5))
    item = detections(2, 1)
    logits = module(
        module.features(pyramid()), batch_points([item.places]),
        item.geometry)
    assert module.mask_size == 20 and logits.shape == (2, 1, 20, 20)


@pytest.mark.parametrize('name, value', [('mask_box', 'truth'),
                                         ('max_positives', 0)])
def test_bad_options_are_named(name, value):
    with pytest.raises(ValueError, match=f'`{name}` of PointINSMaskBranch'):
        branch(**{name: value})


@pytest.mark.parametrize('instance_conv, least, most', [
    (dict(), 0.9, 1.),
    (dict(use_geometry=False), 0., 0.7),
    (dict(dynamic=False), 0., 0.7),
])
def test_only_instance_aware_weights_part_two_objects_of_one_point(
        instance_conv, least, most):
    # At each of 20 points a small and a large box, each with another half of
    # its frame filled: only the geometry tells which one is asked for.
    number = 20
    module = branch(
        num_anchors=1,
        num_convs=0,
        predictor_channels=16,
        norm_cfg=None,
        instance_conv=instance_conv)
    generator = torch.Generator().manual_seed(1)
    feats = [torch.randn(1, IN, 4, 5, generator=generator)]
    where = torch.arange(number).repeat(2)
    places = torch.stack([torch.zeros_like(where), where // 5, where % 5,
                          torch.zeros_like(where)], 1)
    geometry = torch.tensor([-1., 1.]).repeat_interleave(number)
    geometry = geometry[:, None].repeat(1, 4)
    side = torch.randint(4, (number, ), generator=generator)
    other = (side + torch.randint(1, 4, (number, ), generator=generator)) % 4
    left = torch.zeros(12, 12)
    left[:, :6] = 1
    halves = torch.stack([left, left.flip(1), left.T, left.T.flip(0)])
    target = halves[torch.cat([side, other])]
    adam = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(150):
        logits = module(feats, batch_points([places]), geometry)[:, 0]
        adam.zero_grad()
        module.loss_mask(logits, target).backward()
        adam.step()
    found = logits > 0
    both = (found & (target > 0)).sum((1, 2))
    either = (found | (target > 0)).sum((1, 2))
    iou = (both / either).mean().item()
    assert least <= iou <= most
