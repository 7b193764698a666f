"""Instance-aware convolution: sparse as dense, and who sees what."""
import pytest
import torch
import torch.nn.functional as F

from mmseghead.functional.pyramid_points import PyramidPoints
from mmseghead.models.layers import InstanceAwareConv

SIZES = [(7, 11), (4, 6)]
CHANNELS, TEMPLATE, OUT, SIDE, ANCHORS = 6, 3, 10, 5, 4


def layer(**changes):
    torch.manual_seed(0)
    args = dict(
        in_channels=CHANNELS,
        out_channels=OUT,
        template_channels=TEMPLATE,
        template_size=SIDE,
        hidden_channels=13,
        num_anchors=ANCHORS,
        anchor_channels=7)
    args.update(changes)
    built = InstanceAwareConv(**args)
    built.init_weights()
    if built.dynamic:
        # Instances begin nearly equal; here they must not be.
        torch.nn.init.normal_(built.generator[-1].weight, std=0.5)
    return built


def maps(images=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(images, CHANNELS, h, w, generator=generator)
        for h, w in SIZES
    ]


def points(*rows):
    """Rows are (image, level, y, x, anchor)."""
    return PyramidPoints(*torch.tensor(rows, dtype=torch.long).view(-1, 5).unbind(1))


SOME = points((0, 0, 3, 4, 1), (1, 0, 0, 0, 0), (1, 1, 3, 5, 3),
              (0, 0, 6, 10, 2), (0, 1, 0, 5, 0), (0, 0, 3, 4, 1),
              (1, 0, 6, 5, 2))


def geometry(number=7, seed=1):
    return torch.randn(number, 4, generator=torch.Generator().manual_seed(seed))


def dense_masks(module, feats, where, boxes):
    """Evaluate template and weights everywhere, then pick, one by one."""
    results = []
    for i, (image, level, y, x, anchor) in enumerate(zip(*where)):
        feat = feats[level][image][None]
        template = module.template(feat)[0, :, y, x].view(TEMPLATE, SIDE, SIDE)
        known = [feat[0, :, y, x]]
        if module.use_geometry:
            known.append(boxes[i])
            if module.anchor_embedding is not None:
                known.append(module.anchor_embedding.weight[anchor])
        weights = (
            module.generator(torch.cat(known))
            if module.dynamic else module.kernel)
        kernel, bias = weights[:-OUT], weights[-OUT:]
        side = module.kernel_size
        out = F.conv2d(
            template[None],
            kernel.view(OUT, TEMPLATE, side, side),
            bias,
            padding=side // 2)
        results.append(out.relu()[0])
    return torch.stack(results)


@pytest.mark.parametrize('changes', [
    dict(),
    dict(kernel_size=3),
    dict(use_geometry=False),
    dict(num_anchors=1),
    dict(dynamic=False),
    dict(dynamic=False, kernel_size=3),
], ids=str)
def test_sparse_equals_dense(changes):
    module, feats = layer(**changes), maps()
    found = module(feats, SOME, geometry())
    assert found.shape == (7, OUT, SIDE, SIDE)
    wanted = dense_masks(module, feats, SOME, geometry())
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert found.abs().sum() > 0


def test_anchors_of_one_place():
    module, feats = layer(), maps()
    same = points(*[(1, 0, 2, 3, a) for a in (2, 2, 0, 2)])
    boxes = geometry(4)
    boxes[1] = boxes[0]
    boxes[2] = boxes[0]
    found = module(feats, same, boxes)
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(found[0], found[2])  # another anchor
    assert not torch.allclose(found[0], found[3])  # another geometry


@pytest.mark.parametrize('changes', [
    dict(use_geometry=False), dict(dynamic=False)], ids=str)
def test_without_geometry_all_instances_of_a_place_are_equal(changes):
    module, feats = layer(**changes), maps()
    found = module(feats, points((1, 0, 2, 3, 2), (1, 0, 2, 3, 0)),
                   geometry(2))
    torch.testing.assert_close(found[0], found[1], rtol=1e-6, atol=1e-6)
    assert module.anchor_embedding is None


def test_order_and_batch():
    module, feats, boxes = layer(), maps(), geometry()
    found = module(feats, SOME, boxes)
    order = torch.tensor([4, 0, 6, 2, 1, 5, 3])
    moved = module(feats, PyramidPoints(*(f[order] for f in SOME)),
                   boxes[order])
    torch.testing.assert_close(moved, found[order])
    for image in range(2):
        own = SOME.images == image
        alone = PyramidPoints(*(f[own] for f in SOME))
        alone = alone._replace(images=torch.zeros_like(alone.images))
        single = module([f[image:image + 1] for f in feats], alone, boxes[own])
        torch.testing.assert_close(single, found[own])


def test_gradient_reaches_all_but_the_geometry():
    module, feats = layer(), [f.requires_grad_() for f in maps()]
    boxes = geometry().requires_grad_()
    module(feats, SOME, boxes).square().sum().backward()
    assert boxes.grad is None
    for name, parameter in module.named_parameters():
        assert parameter.grad.abs().sum() > 0, name
    assert all(feat.grad.abs().sum() > 0 for feat in feats)


@pytest.mark.parametrize('changes', [
    dict(), dict(dynamic=False), dict(kernel_size=3)], ids=str)
def test_nothing_is_connected_to_all_parameters(changes):
    module, feats = layer(**changes), maps()
    found = module(feats, points(), geometry(0))
    assert found.shape == (0, OUT, SIDE, SIDE)
    found.sum().backward()
    assert all(
        torch.equal(p.grad, torch.zeros_like(p)) for p in module.parameters())


def test_default_size_is_the_budget():
    module = InstanceAwareConv(256)
    assert module.num_weights == 64 * 16 + 64 <= 1100


def test_bfloat16_autocast():
    module, feats = layer(), maps()
    with torch.autocast('cpu', torch.bfloat16):
        found = module(feats, SOME, geometry())
    wanted = module(feats, SOME, geometry())
    torch.testing.assert_close(found.float(), wanted, rtol=0.1, atol=0.2)


def test_features_keep_their_size_at_first():
    torch.manual_seed(0)
    module = InstanceAwareConv(64)
    module.init_weights()
    feat = torch.randn(1, 64, 9, 13).relu()
    where = points(*[(0, 0, y, x, 0) for y in range(9) for x in range(13)])
    found = module([feat], where, torch.randn(117, 4))
    assert 0.3 < found.square().mean().sqrt() < 3


@pytest.mark.parametrize('name, value', [
    ('kernel_size', 2), ('template_size', 0), ('template_channels', 1.5),
    ('num_anchors', 0), ('out_channels', -1)])
def test_bad_sizes_are_named(name, value):
    with pytest.raises(ValueError, match=f'`{name}` of InstanceAwareConv'):
        InstanceAwareConv(8, **{name: value})
