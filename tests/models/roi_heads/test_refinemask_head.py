"""RefineMask's mask heads."""
import pytest
import torch
from mmcv.ops import roi_align
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmseghead.functional.box_masks import paste_masks
from mmseghead.registry import MODELS
from mmseghead.utils import register_all_modules

ORIGINAL, SIMPLE = 'mmseghead.RefineMaskHead', 'mmseghead.SimpleRefineMaskHead'
HEIGHT, WIDTH = 64, 88  # of the images, pixels
CLASSES = 5
ROIS = torch.tensor([[0., 3., 2., 80., 60.], [1., 10.5, 20.2, 36., 41.9],
                     [1., 50., 5., 56.5, 12.], [0., 0., 0., 88., 64.],
                     [1., 21., 50., 22., 51.]])
LABELS = torch.tensor([4, 0, 2, 2, 1])
INDS = torch.tensor([2, 0, 1, 1, 0])
both = pytest.mark.parametrize('kind', [ORIGINAL, SIMPLE])


@pytest.fixture(scope='module', autouse=True)
def registered():
    register_all_modules(init_default_scope=False)


def make_head(kind=ORIGINAL, seed=0, **kwargs):
    torch.manual_seed(seed)
    config = dict(
        type=kind, num_classes=CLASSES, in_channels=12, feat_channels=24,
        semantic_channels=10, num_semantic_convs=2)
    head = MODELS.build(dict(config, **kwargs))
    head.init_weights()
    with torch.no_grad():
        for name, value in head.named_parameters():
            if name.endswith('bias'):
                value.normal_(0, 0.1)
    return head


def fpn_map(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(
        2, 12, HEIGHT // 4, WIDTH // 4, generator=generator)


def run(head, rois=ROIS, labels=LABELS, feat=None):
    """Pool features from the finest map and predict all stages."""
    feat = fpn_map() if feat is None else feat
    pooled = roi_align(feat, rois, 14, 0.25, 0, 'avg', True)
    return head(pooled, feat, rois, labels)


def truth(kind=BitmapMasks):
    generator = torch.Generator().manual_seed(3)
    batch = []
    for count in (3, 2):
        masks = torch.rand(count, HEIGHT // 8, WIDTH // 8, generator=generator)
        masks = (masks > 0.5).repeat_interleave(8, 1).repeat_interleave(8, 2)
        batch.append(
            InstanceData(
                masks=BitmapMasks(masks.numpy().astype('uint8'), HEIGHT,
                                  WIDTH)))
    return batch


def count(*modules):
    return sum(p.numel() for m in modules for p in m.parameters())


def test_parameters():
    """Those of the source, for 80 classes."""
    head = MODELS.build(dict(type=ORIGINAL))
    assert count(head) == 6407003
    assert count(head.instance_convs, head.semantic_convs) == 3540480
    assert [count(stage) for stage in head.stages] == [2152398, 560142, 151086]
    assert count(head.final) == 2640
    assert count(head.semantic_predictor) == 257
    head = MODELS.build(dict(type=SIMPLE, agnostic_stages=(3, )))
    assert count(head) == 6317678


@both
@pytest.mark.parametrize('num', [0, 1, 5])
def test_shapes(kind, num):
    head = make_head(kind)
    stages, semantic = run(head, ROIS[:num], LABELS[:num])
    assert [maps.shape for maps in stages] == [
        (num, 1, size, size) for size in (14, 28, 56, 112)
    ]
    assert all(torch.isfinite(maps).all() for maps in stages)
    if kind == ORIGINAL:
        assert semantic.shape == (2, 1, HEIGHT // 4, WIDTH // 4)
    else:
        assert semantic is None
    assert head.fused_logits(stages).shape == (num, 1, 112, 112)
    rois = torch.cat([ROIS[:0], torch.tensor([[1., -70., -50., 200., 300.]])])
    assert torch.isfinite(run(head, rois, LABELS[:1])[0][-1]).all()


def test_sizes_of_features():
    """256 x 14^2, 128 x 28^2, 64 x 56^2, 32 x 112^2, or the last at 56."""
    for kind, last in ((ORIGINAL, 112), (SIMPLE, 56)):
        head = MODELS.build(dict(type=kind, num_semantic_convs=1)).eval()
        seen = []
        for stage in head.stages:
            stage.register_forward_pre_hook(
                lambda module, args: seen.append(args[0].shape[1:]))
        head.final.register_forward_pre_hook(
            lambda module, args: seen.append(args[0].shape[1:]))
        head._last_logits, original = (
            lambda feats, labels: seen.append(feats.shape[1:]),
            head._last_logits)
        feat = torch.randn(2, 256, 4, 6)
        with torch.no_grad():
            head(torch.randn(1, 256, 14, 14), feat, ROIS[:1], LABELS[:1])
        assert [tuple(shape) for shape in seen] == [
            (256, 14, 14), (128, 28, 28), (64, 56, 56), (32, last, last)
        ]
        assert original


@both
def test_other_classes_do_not_matter(kind):
    head = make_head(kind).eval()
    one, _ = run(head)
    with torch.no_grad():
        for layer in [*(stage.predictor for stage in head.stages), head.final]:
            layer.weight[3] += 5  # no RoI is of class 3
            layer.bias[3] -= 5
    two, _ = run(head)
    assert all(map(torch.equal, one, two))
    with torch.no_grad():
        head.stages[0].predictor.bias[2] += 1
    three, _ = run(head)
    changed = [(a != b).flatten(1).any(1) for a, b in zip(one, three)]
    want = LABELS == 2
    assert all(torch.equal(rows, want) for rows in changed)


@both
def test_one_mask_for_all_classes(kind):
    head = make_head(kind, agnostic_stages=(0, 3))
    assert head.stage_num_classes == (1, CLASSES, CLASSES, 1)
    one, _ = run(head)
    two, _ = run(head, labels=LABELS.flip(0) * 0)
    assert torch.equal(one[0], two[0])
    assert not torch.allclose(one[1][0], two[1][0], atol=1e-4)


@both
def test_rois_in_any_order(kind):
    head = make_head(kind).eval()
    order = torch.tensor([3, 0, 4, 2, 1])
    with torch.no_grad():
        stages, _ = run(head)
        shuffled, _ = run(head, ROIS[order], LABELS[order])
    for one, other in zip(stages, shuffled):
        assert torch.allclose(one[order], other, atol=1e-5)
        assert one.std() > 1e-3


@both
def test_batch_equals_single_images(kind):
    head, feat = make_head(kind).eval(), fpn_map()
    with torch.no_grad():
        together, semantic = run(head)
        for image in (0, 1):
            rows = ROIS[:, 0] == image
            rois = ROIS[rows].clone()
            rois[:, 0] = 0
            alone, part = run(head, rois, LABELS[rows], feat[[image]])
            for one, other in zip(together, alone):
                assert torch.allclose(one[rows], other, atol=1e-5)
            if semantic is not None:
                assert torch.allclose(semantic[[image]], part, atol=1e-5)


@both
@pytest.mark.parametrize('mode', ['pooled', 'resized'])
def test_losses(kind, mode):
    head, batch = make_head(kind, target_mode=mode), truth()
    order = ROIS[:, 0].sort(stable=True).indices
    rois, inds, labels = ROIS[order], INDS[order], LABELS[order]
    stages, semantic = run(head, rois, labels)
    result = head.loss_and_target(stages, semantic, rois, inds, batch)
    losses = result['loss_mask']
    assert set(losses) == ({'loss_mask', 'loss_semantic'}
                           if kind == ORIGINAL else {'loss_mask'})
    targets = result['mask_targets']
    sides = [maps.shape[-1] for maps in stages]
    assert [t.shape for t in targets] == [(5, side, side) for side in sides]
    # The fourth box is the whole first image, and its object.
    row = int((order == 3).nonzero())
    mask = torch.from_numpy(batch[0].masks.masks[INDS[3]])
    ys, xs = ((torch.arange(112) + 0.5) / 112 * s for s in (HEIGHT, WIDTH))
    got = targets[3][row]
    assert (got != mask[ys.long()][:, xs.long()]).float().mean() < 0.1
    sum(losses.values()).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all()
               for p in head.parameters())
    assert all(value > 0 for value in losses.values())


@both
def test_no_object_at_all(kind):
    """The mask loss is 0; the whole map still learns that nothing is there."""
    head = make_head(kind)
    stages, semantic = run(head, ROIS[:0], LABELS[:0])
    masks = BitmapMasks(
        torch.zeros(0, HEIGHT, WIDTH).byte().numpy(), HEIGHT, WIDTH)
    batch = [InstanceData(masks=masks)] * 2
    losses = head.loss_and_target(stages, semantic, ROIS[:0], INDS[:0],
                                  batch)['loss_mask']
    assert float(losses['loss_mask'].detach()) == 0
    if kind == ORIGINAL:
        want = torch.nn.functional.softplus(semantic).mean()
        assert torch.allclose(losses['loss_semantic'], want)
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())


def test_semantic_loss_is_that_of_the_union():
    head = make_head()
    rois, inds = ROIS[:1], INDS[:1]
    stages, semantic = run(head, rois, LABELS[:1])
    batch = truth()
    losses = head.loss_and_target(stages, semantic, rois, inds,
                                  batch)['loss_mask']
    # Objects are made of 8 x 8 pixels: two cells of the map a side.
    goal = torch.stack([
        torch.from_numpy(item.masks.masks.max(0)[::4, ::4]) for item in batch
    ])[:, None].float()
    want = torch.nn.functional.binary_cross_entropy_with_logits(semantic, goal)
    assert torch.allclose(losses['loss_semantic'], want)


def test_targets_of_polygons():
    head = make_head()
    square = [torch.tensor([8., 8., 40., 8., 40., 40., 8., 40.]).numpy()]
    batch = [
        InstanceData(masks=PolygonMasks([square], HEIGHT, WIDTH)),
        InstanceData(masks=PolygonMasks([], HEIGHT, WIDTH))
    ]
    rois = torch.tensor([[0., 8., 8., 40., 40.], [0., 0., 0., 80., 64.]])
    targets = head.get_targets(rois, torch.zeros(2).long(), batch)
    for target in targets:
        assert target[0, :-1, :-1].all()
        assert target[1].mean() == pytest.approx(32 * 32 / 80 / 64, abs=0.03)


def test_first_logits():
    sizes = {}
    for std in (None, 0.01):
        torch.manual_seed(0)
        head = MODELS.build(
            dict(type=ORIGINAL, num_classes=CLASSES, in_channels=12,
                 logits_std=std))
        head.init_weights()
        layers = [*(stage.predictor for stage in head.stages), head.final,
                  head.semantic_predictor]
        for layer in layers:
            assert not layer.bias.any()
            want = (2 / layer.out_channels)**0.5 if std is None else std
            std_found = float(layer.weight.detach().std())
            assert std_found == pytest.approx(want, rel=0.3)
        sizes[std] = float(run(head)[0][0].detach().abs().max())
    assert sizes[0.01] < 0.2 < sizes[None]
    assert make_head(SIMPLE, logits_std=0.01).final.weight.std() < 0.02


def test_fused_logits_start_at_28_cells():
    head = make_head()
    stages, _ = run(head)
    kept = [maps.clone() for maps in stages]
    fused = head.fused_logits(stages)
    other = head.fused_logits([stages[0] + 9, *stages[1:]])
    assert torch.equal(fused, other)
    assert all(map(torch.equal, kept, stages))
    assert not torch.equal(fused, stages[3])
    late = make_head(start_stage=3)
    assert torch.equal(late.fused_logits(stages), stages[3])
    assert late.loss_mask.start_stage == 3


VARIANTS = [
    dict(kind=ORIGINAL),
    dict(kind=ORIGINAL, agnostic_stages=(3, ), fuse_width=2, start_stage=0),
    dict(kind=SIMPLE, agnostic_stages=(3, )),
    dict(kind=SIMPLE, pre_upsample_last_stage=True, start_stage=2),
]


def both_ways(kwargs, shift=0., num=5, seed=0):
    """Predict dense and sparse; all masks shifted towards full or empty."""
    torch.manual_seed(seed)
    results, cells = [], []
    for sparse in (False, True):
        head = make_head(seed=seed, sparse_last_stage=sparse, **kwargs).eval()
        head.double()
        with torch.no_grad():
            for layer in [*(s.predictor for s in head.stages), head.final]:
                layer.bias += shift
        handle = head.stages[-1].fusion.merge.register_forward_pre_hook(
            lambda module, args: cells.append(None))
        feat = fpn_map(seed).double()
        rois, labels = ROIS[:num].double(), LABELS[:num]
        pooled = roi_align(feat, rois, 14, 0.25, 0, 'avg', True)
        with torch.no_grad():
            results.append(
                head.predict_logits(pooled, head.semantic_maps(feat), rois,
                                    labels))
        handle.remove()
    assert len(cells) == 1  # the dense one only
    return results


@pytest.mark.parametrize('kwargs', VARIANTS)
@pytest.mark.parametrize('seed', [0, 1])
def test_sparse_last_stage_gives_the_same_masks(kwargs, seed):
    dense, sparse = both_ways(kwargs, seed=seed)
    assert dense.shape == sparse.shape == (5, 1, 112, 112)
    assert torch.allclose(dense, sparse, atol=1e-5)
    assert dense.std() > 0.1


@pytest.mark.parametrize('kwargs', VARIANTS)
@pytest.mark.parametrize('shift', [-1e3, 1e3], ids=['empty', 'full'])
def test_sparse_last_stage_without_edges(kwargs, shift):
    dense, sparse = both_ways(kwargs, shift)
    assert torch.allclose(dense, sparse, rtol=1e-5)
    assert (dense.sign() == shift / 1e3).all()


@pytest.mark.parametrize('kwargs', VARIANTS)
def test_sparse_last_stage_of_no_roi(kwargs):
    for logits in both_ways(kwargs, num=0):
        assert logits.shape == (0, 1, 112, 112)


def test_upsampled_features_or_logits():
    """Both variants of the simple head's end, 56 to 112 cells."""
    feats = torch.randn(2, 3, 56, 56)
    for before in (True, False):
        head = make_head(SIMPLE, pre_upsample_last_stage=before)
        one = head._last_logits(feats, LABELS[:2])
        logits = head.final(feats)[torch.arange(2), LABELS[:2]][:, None]
        two = torch.nn.functional.interpolate(
            logits, scale_factor=2, mode='bilinear', align_corners=not before)
        assert torch.allclose(one, two, atol=1e-5)


@both
def test_half_precision(kind):
    head = make_head(kind)
    with torch.no_grad():
        want, _ = run(head.eval())
    with torch.autocast('cpu', torch.bfloat16):
        stages, semantic = run(head)
        order = ROIS[:, 0].sort(stable=True).indices
        losses = head.loss_and_target(
            [maps[order] for maps in stages], semantic, ROIS[order],
            INDS[order], truth())['loss_mask']
    for one, other in zip(want, stages):
        error = (one - other.float()).abs().flatten()
        assert error.median() < 0.1 * one.std()
    assert head.fused_logits(stages).dtype == torch.float32
    for loss in losses.values():
        assert loss.dtype == torch.float32 and torch.isfinite(loss)
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_pasted_masks():
    head = make_head()
    logits = torch.randn(3, 1, 112, 112)
    boxes = torch.tensor([[4., 6., 84., 60.], [8., 2., 20., 30.],
                          [40., 20., 41., 21.]])
    meta = dict(img_shape=(64, 88), ori_shape=(32, 22), scale_factor=(4., 2.))
    for rescale, scale, shape in ((False, (1., 1.), (64, 88)),
                                  (True, (4., 2.), (32, 22))):
        results = InstanceData(bboxes=boxes.clone())
        got, = head.predict_by_feat([logits], [results], [meta],
                                    ConfigDict(mask_thr_binary=0.5), rescale)
        want = boxes / torch.tensor(scale).repeat(2)
        assert torch.equal(got.bboxes, want)
        assert torch.equal(
            got.masks, paste_masks(logits[:, 0].sigmoid(), want, shape, 0.5))
        assert got.masks.shape == (3, *shape) and got.masks[0].any()


def test_errors():
    with pytest.raises(ValueError, match="`target_mode`.*got 'exact'"):
        make_head(target_mode='exact')
    with pytest.raises(ValueError, match=r'from 0 to 3, got \(4,\)'):
        make_head(agnostic_stages=(4, ))
    with pytest.raises(ValueError, match='even and more than 4, got 4'):
        make_head(feat_channels=16)
    with pytest.raises(ValueError, match='less than 3 with `sparse_last'):
        make_head(start_stage=3, sparse_last_stage=True)
