"""RefineMask's stages against the steps of its description."""
import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import SimpleRoIAlign, roi_align
from torch import nn

from mmseghead.models.layers.semantic_fusion import (MultiBranchFusion,
                                                     SemanticFusionStage,
                                                     SimpleSemanticFusionStage,
                                                     class_logits)

CHANNELS, SEMANTIC, CLASSES, SIZE = 8, 6, 5, 14
ROIS = torch.tensor([[1., 3., 2., 60., 40.], [0., 10.3, 20.1, 31.7, 28.6],
                     [1., 50., 30., 99., 70.], [0., -9., -6., 20., 25.]])
LABELS = torch.tensor([4, 0, 2, 2])


def randomised(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.3)
    return module.eval()


def maps(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_logits_of_one_class():
    predictor = randomised(nn.Conv2d(7, 5, 1))
    feats = maps(4, 7, 6, 9)
    every = predictor(feats)
    got = class_logits(predictor, feats, LABELS)
    assert got.shape == (4, 1, 6, 9)
    for roi, label in enumerate(LABELS):
        assert torch.allclose(got[roi, 0], every[roi, label], atol=1e-5)
    one = randomised(nn.Conv2d(7, 1, 1))
    assert torch.equal(class_logits(one, feats, LABELS), one(feats))
    # Labels beyond the last channel read the last one.
    got = class_logits(predictor, feats, LABELS + 3)
    assert torch.allclose(got[:1, 0], every[:1, 4], atol=1e-5)
    assert class_logits(predictor, feats[:0], LABELS[:0]).shape == (0, 1, 6, 9)


def slow_fusion(layer, feats, dilations, average):
    """Sum of ReLUs, one tap of one branch at a time."""
    height, width = feats.shape[2:]
    total = torch.zeros_like(feats)
    for step, branch in zip(dilations, layer.branches):
        weight, bias = branch.conv.weight, branch.conv.bias
        padded = F.pad(feats, [step] * 4)
        part = bias[:, None, None].expand_as(feats).clone()
        for row in range(3):
            for column in range(3):
                window = padded[:, :, row * step:row * step + height,
                                column * step:column * step + width]
                part += torch.einsum('oi,nihw->nohw',
                                     weight[:, :, row, column], window)
        total += part.relu()
    if average:
        total += feats.sum((2, 3), keepdim=True) / (height * width)
    weight, bias = layer.merge.weight[:, :, 0, 0], layer.merge.bias
    return (torch.einsum('oi,nihw->nohw', weight, total) +
            bias[:, None, None]).relu()


@pytest.mark.parametrize('dilations', [(1, 3, 5), (2, )])
@pytest.mark.parametrize('average', [True, False])
def test_fusion_equals_a_loop(dilations, average):
    layer = randomised(MultiBranchFusion(6, dilations, average))
    feats = maps(3, 6, 11, 9)  # the average needs no square map
    want = slow_fusion(layer, feats, dilations, average)
    assert torch.allclose(layer(feats), want, atol=1e-5)
    assert layer(feats[:0]).shape == (0, 6, 11, 9)
    assert layer(feats[:1]).std() > 0.1


def make(kind, **kwargs):
    return randomised(
        kind(CHANNELS, SEMANTIC, CLASSES, SIZE, stride=4, **kwargs))


def conv(layer, feats):
    return F.conv2d(feats, layer.weight, layer.bias)


def select(logits):
    return logits[torch.arange(len(LABELS)), LABELS][:, None]


def test_original_stage_step_by_step():
    stage = make(SemanticFusionStage)
    feats, semantic = maps(4, CHANNELS, SIZE, SIZE), maps(2, SEMANTIC, 18, 25)
    semantic_logits = maps(2, 1, 18, 25, seed=5)
    logits, after = stage(feats, stage.semantic_map(semantic, semantic_logits),
                          ROIS, LABELS)
    want = select(conv(stage.predictor, feats))
    assert torch.allclose(logits, want, atol=1e-5)

    def pool(level):
        return roi_align(level, ROIS, SIZE, 0.25, 0, 'avg', True)

    seen = pool(conv(stage.semantic_in, semantic).relu())
    seen = conv(stage.semantic_out, seen).relu()
    p, m = want.sigmoid(), pool(semantic_logits.sigmoid())
    joint = conv(stage.fuse, torch.cat([feats, seen, p, m], 1)).relu()
    joint = conv(stage.shrink, stage.fusion(joint)).relu()
    joint = F.interpolate(
        joint, scale_factor=2, mode='bilinear', align_corners=False).relu()
    p, m = (
        F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=True)
        for x in (p, m))
    assert torch.allclose(after, torch.cat([joint, p, m], 1), atol=1e-4)
    assert after.shape == (4, CHANNELS // 2, 2 * SIZE, 2 * SIZE)
    assert after.std() > 0.1


@pytest.mark.parametrize('upsamples', [True, False])
def test_simple_stage_step_by_step(upsamples):
    stage = make(SimpleSemanticFusionStage, upsamples=upsamples)
    feats, semantic = maps(4, CHANNELS, SIZE, SIZE), maps(2, SEMANTIC, 18, 25)
    logits, after = stage(feats, stage.semantic_map(semantic), ROIS, LABELS)
    want = select(conv(stage.predictor, feats))
    assert torch.allclose(logits, want, atol=1e-5)
    # mmcv's pooling wants RoIs in the order of the images.
    order = ROIS[:, 0].sort(stable=True).indices
    seen = torch.empty(4, CHANNELS, SIZE, SIZE)
    seen[order] = SimpleRoIAlign(SIZE, 0.25)(
        conv(stage.semantic_in, semantic).relu(), ROIS[order])
    p = want.sigmoid()
    joint = conv(stage.fuse, torch.cat([feats, seen, p], 1)).relu()
    joint = torch.cat([conv(stage.shrink, stage.fusion(joint)).relu(), p], 1)
    if upsamples:
        joint = F.interpolate(
            joint, scale_factor=2, mode='bilinear', align_corners=False)
    assert torch.allclose(after, joint, atol=1e-4)
    assert after.shape == (4, CHANNELS // 2, *[SIZE * (1 + upsamples)] * 2)
    assert stage.fusion.with_average


@pytest.mark.parametrize('kind',
                         [SemanticFusionStage, SimpleSemanticFusionStage])
def test_edges(kind):
    stage = make(kind)
    semantic = stage.semantic_map(maps(2, SEMANTIC, 18, 25),
                                  maps(2, 1, 18, 25))
    for rois in (ROIS[:0], ROIS[:1],
                 torch.tensor([[0., 5., 5., 5., 5.],
                               [1., 500., 600., 700., 900.]])):
        logits, after = stage(
            maps(len(rois), CHANNELS, SIZE, SIZE), semantic, rois,
            LABELS[:len(rois)])
        assert logits.shape == (len(rois), 1, SIZE, SIZE)
        assert after.shape == (len(rois), CHANNELS // 2, 28, 28)
        assert torch.isfinite(after).all()
    # Coordinates stay in single precision when features do not.
    low = stage.pool(semantic.bfloat16(), ROIS)
    assert low.dtype == torch.bfloat16
    assert torch.allclose(low.float(), stage.pool(semantic, ROIS), atol=0.05)
    assert torch.equal(
        stage.pool(semantic, ROIS)[[2, 0]], stage.pool(semantic,
                                                       ROIS[[2, 0]]))


def test_first_weights():
    """Kaiming for outputs and ReLU everywhere, biases zero."""
    stage = SemanticFusionStage(128, 128, 80, SIZE)
    stage.init_weights()
    layers = dict(stage.named_modules())
    layers = {k: v for k, v in layers.items() if isinstance(v, nn.Conv2d)}
    assert len(layers) == 9
    for name, layer in layers.items():
        weight = layer.weight
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        std = (2 / fan_out)**0.5
        assert abs(weight.std() / std - 1) < 0.05, name
        assert not layer.bias.any()


@pytest.mark.parametrize('average', [True, False])
@pytest.mark.parametrize('share', [0, 0.3, 1])
def test_fusion_at_some_cells(average, share):
    layer = randomised(MultiBranchFusion(6, with_average=average))
    feats = maps(3, 6, 11, 9)
    cells = torch.rand(
        3, 11, 9, generator=torch.Generator().manual_seed(2)) < share
    grid = layer.forward_at(feats, cells)
    want = layer(feats).permute(0, 2, 3, 1)[cells]
    assert len(want) == int(cells.sum())
    assert torch.allclose(grid.active, want, atol=1e-5)
    assert torch.equal(
        grid.places, cells.flatten().nonzero()[:, 0])
    assert len(layer.forward_at(feats[:0], cells[:0]).active) == 0


def test_numbers_of_channels():
    with pytest.raises(ValueError, match='even and more than 4, got 7'):
        SemanticFusionStage(7, 6, 5, 14)
    with pytest.raises(ValueError, match='more than 4, got 4'):
        SemanticFusionStage(4, 6, 5, 14)
    with pytest.raises(ValueError, match='more than 2, got 2'):
        SimpleSemanticFusionStage(2, 6, 5, 14)
