"""EffSeg's mask head."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData

from mmseghead.apis.cost import FlopCounter
from mmseghead.functional.mask_scores import mask_scores
from mmseghead.registry import MODELS
from mmseghead.utils import register_all_modules

STRIDES = (4, 8, 16, 32)
HEIGHT, WIDTH = 96, 160  # of the images, pixels
BOXES = [[3., 2., 150., 90.], [40.5, 30.2, 66., 71.9], [90., 5., 96.5, 12.],
         [0., 0., 160., 96.], [21., 60., 22., 61.]]


@pytest.fixture(scope='module', autouse=True)
def registered():
    register_all_modules(init_default_scope=False)


def make_head(seed=0, **kwargs):
    torch.manual_seed(seed)
    config = dict(
        type='mmseghead.EffSegMaskHead',
        in_channels=12,
        feat_channels=16,
        num_convs=2)
    head = MODELS.build(dict(config, **kwargs))
    with torch.no_grad():  # or signals fade to nothing in so few channels
        for name, value in head.named_parameters():
            if value.dim() > 1:
                value.mul_(2)
    return head


def pyramid(images=2, seed=1, channels=12):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(
            images, channels, HEIGHT // s, WIDTH // s, generator=generator)
        for s in STRIDES
    ]


def make_rois(images=(0, 1, 1, 0, 1)):
    boxes = torch.tensor(BOXES[:len(images)])
    return torch.cat([torch.tensor(images)[:, None].float(), boxes], 1)


class Dense:
    """The head on dense maps: every cell holds what its row would hold.

    Written from the specification, without index maps.
    """

    def __init__(self, head, x, rois):
        self.head, self.x, self.rois = head, x, rois
        self.seg, self.ref, self.active = [], [], []

    def linear(self, layer, maps):
        return torch.einsum('oi,rihw->rohw', layer.weight,
                            maps) + layer.bias[:, None, None]

    def predict(self, maps):
        for predictors, out in ((self.head.seg_predictors, self.seg),
                                (self.head.ref_predictors, self.ref)):
            first, _, last = predictors[len(out)]
            hidden = self.linear(first, maps).relu()
            out.append(self.linear(last, hidden)[:, 0])

    def sample(self, size, stage):
        out = []
        for image, x1, y1, x2, y2 in self.rois.tolist():
            side = math.sqrt((x2 - x1) * (y2 - y1))
            level = math.floor(math.log2(side / 56 + 1e-6))
            level = max(min(max(level, 0), 3) - stage, 0)
            maps = self.x[level][int(image)][None]
            steps = (torch.arange(size) + 0.5) / size
            xs = (x1 + (x2 - x1) * steps) / STRIDES[level] / maps.shape[3]
            ys = (y1 + (y2 - y1) * steps) / STRIDES[level] / maps.shape[2]
            grid = torch.stack(
                [xs[None].expand(size, -1), ys[:, None].expand(-1, size)], -1)
            out.append(
                F.grid_sample(maps, grid[None] * 2 - 1, align_corners=False))
        return torch.cat(out)

    def select(self, budget):
        """Keep the best active cells of each image."""
        scores, mask = self.ref[-1], self.active[-1]
        kept = torch.zeros_like(mask)
        for image in self.rois[:, 0].unique().tolist():
            cells = [(float(scores[r, y, x]), r, y, x)
                     for r, y, x in mask.nonzero().tolist()
                     if self.rois[r, 0] == image]
            for _, r, y, x in sorted(cells, reverse=True)[:budget]:
                kept[r, y, x] = True
        return kept

    def refine(self, layer, maps, kept):
        stage = len(self.seg)
        channels, (height, width) = maps.shape[1], maps.shape[2:]
        hidden = self.linear(layer.child_first, maps).relu()
        children = maps.new_zeros(len(maps), channels, 2 * height, 2 * width)
        for child in range(4):
            part = hidden[:, child * channels:(child + 1) * channels]
            children[:, :, child // 2::2, child % 2::2] = (
                maps + self.linear(layer.child_second, part))
        mask = kept.repeat_interleave(2, 1).repeat_interleave(2, 2)
        frozen = F.interpolate(maps, scale_factor=2, mode='nearest')
        seen = self.sample(2 * height, stage)
        joint = torch.cat([children, seen], 1)
        fused = self.linear(layer.fuse_first, joint).relu()
        fused = children + self.linear(layer.fuse_second, fused)
        mixed = torch.where(mask[:, None], fused, frozen)
        mixed = self.linear(layer.narrow, mixed).relu()
        sfm = layer.process
        inner = self.linear(sfm.reduce, mixed).relu()
        inner = torch.where(mask[:, None], inner, mixed)
        total = 0
        for i, dilation in enumerate((1, 3, 5)):
            total = total + F.conv2d(
                inner, sfm.conv.weight[i], sfm.conv.bias[i],
                padding=dilation, dilation=dilation).relu()
        out = self.linear(sfm.fuse[0], total).relu()
        out = self.linear(sfm.fuse[2], out).relu()
        self.active.append(mask)
        return torch.where(mask[:, None], out, mixed)

    def run(self, budget):
        maps = self.head._dense_stage(self.x, self.rois, None)
        self.active.append(torch.ones_like(maps[:, 0], dtype=torch.bool))
        self.predict(maps)
        for layer in self.head.refinements:
            kept = self.select(budget)
            maps = self.refine(layer, maps, kept)
            self.predict(maps)
        return self


@pytest.mark.parametrize('budget', [10**6, 90])
def test_equals_a_dense_network(budget):
    """Also where most cells are dropped, some of them in early steps."""
    rois = make_rois((0, 1, 1))
    head = make_head(num_refine=budget, num_stages=3,
                     loss_seg_weights=(1, ) * 3, loss_ref_weights=(1, ) * 3)
    x = pyramid()
    with torch.no_grad():
        got = head(x, rois)
        want = Dense(head, x, rois).run(budget)
    for stage, grid in enumerate(got['grids']):
        active = torch.zeros(grid.index.numel(), dtype=torch.bool)
        active[grid.places] = True
        assert torch.equal(active.view_as(grid.index), want.active[stage])
        for name, maps in (('seg', want.seg), ('ref', want.ref)):
            values = got[f'{name}_logits'][stage]
            assert torch.allclose(
                values, maps[stage].flatten()[grid.places], atol=1e-4)
            assert values.std() > 1e-3


@pytest.mark.parametrize('kwargs, parameters', [
    (dict(inst_feat_channels=256), 4208872),
    (dict(), 3945960),
    (dict(process='dense_sfm'), 3945960),
])
def test_parameters(kwargs, parameters):
    head = MODELS.build(dict(type='mmseghead.EffSegMaskHead', **kwargs))
    assert sum(p.numel() for p in head.parameters()) == parameters


def test_parameters_of_the_parts():
    head = MODELS.build(
        dict(type='mmseghead.EffSegMaskHead', inst_feat_channels=256))

    def count(*modules):
        return sum(p.numel() for m in modules for p in m.parameters())

    assert count(head.fusion) == 65792 + 197120
    assert count(head.convs) == 2360320
    for i, want in enumerate((132098, 33282, 8450, 2178)):
        assert count(head.seg_predictors[i], head.ref_predictors[i]) == want
    sizes = ((328960, 197120, 32896, 492288), (82560, 65792, 8256, 123264),
             (20800, 24704, 2080, 30912))
    for layer, want in zip(head.refinements, sizes):
        got = (count(layer.child_first, layer.child_second),
               count(layer.fuse_first, layer.fuse_second),
               count(layer.narrow), count(layer.process))
        assert got == want


@pytest.mark.parametrize('num, want', [(10, 22.4), (50, 73.6)])
def test_cost_is_that_of_the_papers_model(num, want):
    head = MODELS.build(
        dict(type='mmseghead.EffSegMaskHead', inst_feat_channels=256)).eval()
    x = [torch.randn(1, 256, 192 // s, 256 // s) for s in STRIDES]
    sides = torch.linspace(10, 180, num)
    rois = torch.stack([0 * sides, 0 * sides, 0 * sides, sides, sides], 1)
    counter = FlopCounter()
    with torch.no_grad(), counter.around_mmcv_ops(), counter:
        head(x, rois, torch.randn(num, 256))
    assert sum(counter.flops.values()) / 1e9 == pytest.approx(want, rel=.02)


@pytest.mark.parametrize('budget', [0, 1, 37, 500])
def test_numbers_of_active_cells(budget):
    head = make_head(num_refine=budget)
    rois = make_rois()
    grids = head(pyramid(), rois)['grids']
    images = grids[0].batch_inds
    before = [196 * int((images == i).sum()) for i in (0, 1)]
    for grid in grids[1:]:
        before = [4 * min(budget, number) for number in before]
        got = [int((grid.image_inds == i).sum()) for i in (0, 1)]
        assert got == before
        assert int(grid.index.max()) == (
            grid.num_active + grid.num_passive - 1)


def test_budget_of_a_batch():
    head = make_head(num_refine=100, refine_scope='batch')
    assert head(pyramid(), make_rois())['grids'][1].num_active == 400


def test_budget_in_training():
    head = make_head(num_refine=50, num_refine_train=7)
    rois = make_rois((0, 0))
    assert head.train()(pyramid(), rois)['grids'][2].num_active == 28
    assert head.eval()(pyramid(), rois)['grids'][2].num_active == 200


def masks_of(head, x, rois):
    with torch.no_grad():
        return head.mask_logits(head(x, rois))


def test_batch_equals_single_images():
    """Results of an image do not depend on what else is in the batch."""
    head, x, rois = make_head(num_refine=60), pyramid(), make_rois()
    whole = masks_of(head, x, rois)[-1]
    for image in (0, 1):
        rows = rois[:, 0] == image
        alone = rois[rows].clone()
        alone[:, 0] = 0
        got = masks_of(head, [level[[image]] for level in x], alone)[-1]
        assert torch.allclose(got, whole[rows], atol=1e-4)


def test_permuted_rois_give_permuted_masks():
    head, x, rois = make_head(num_refine=60), pyramid(), make_rois()
    order = torch.tensor([3, 0, 4, 1, 2])
    assert torch.allclose(
        masks_of(head, x, rois)[-1][order],
        masks_of(head, x, rois[order])[-1],
        atol=1e-4)


def test_cells_that_were_never_active_are_interpolated():
    head, x, rois = make_head(num_refine=40), pyramid(), make_rois()
    with torch.no_grad():
        outputs = head(x, rois)
        logits = head.mask_logits(outputs)
    assert [maps.shape[2] for maps in logits] == [14, 28, 56, 112]
    for i in range(1, 4):
        up = F.interpolate(
            logits[i - 1], scale_factor=2, mode='bilinear',
            align_corners=False)
        places = outputs['grids'][i].places
        never = torch.ones(up.numel(), dtype=torch.bool)
        never[places] = False
        got, up = logits[i].flatten(), up.flatten()
        assert torch.equal(got[never], up[never])
        assert torch.equal(got[places], outputs['seg_logits'][i])
        assert (got[places] != up[places]).any()


def test_no_refinement_at_all():
    head = make_head(num_refine=0)
    logits = masks_of(head, pyramid(), make_rois())
    want = logits[0]
    for _ in range(3):
        want = F.interpolate(
            want, scale_factor=2, mode='bilinear', align_corners=False)
    assert torch.equal(logits[-1], want)


@pytest.mark.parametrize('process',
                         ['sfm', 'mlp', 'conv', 'deform', 'dense_sfm'])
@pytest.mark.parametrize('rois', [
    torch.zeros(0, 5),
    torch.tensor([[1., 20., 30., 21., 31.]]),
    torch.tensor([[0., 0., 0., 0., 0.], [1., 160., 96., 160., 96.]]),
    torch.tensor([[1., -500., -300., 900., 700.]]),
], ids=['none', 'one pixel', 'empty boxes', 'beyond the image'])
def test_edge_cases(process, rois):
    head = make_head(process=process, num_refine=50, inst_feat_channels=6)
    for training in (True, False):
        head.train(training)
        outputs = head(pyramid(), rois, torch.randn(len(rois), 6))
        logits = head.mask_logits(outputs)[-1]
        assert logits.shape == (len(rois), 1, 112, 112)
        assert torch.isfinite(logits).all()
        assert (outputs['ref_logits'][-1] is None) is not training
    if len(rois) == 0:
        losses = head.zero_loss(torch.zeros(0, 6))['loss_mask']
        sum(losses.values()).backward()
        assert all(float(loss) == 0 for loss in losses.values())
        assert all(p.grad is not None for p in head.parameters())


def test_instance_features_count():
    head, x, rois = make_head(inst_feat_channels=6), pyramid(), make_rois()
    feats = torch.randn(5, 6)
    with torch.no_grad():
        one = head.mask_logits(head(x, rois, feats))[-1]
        feats[2] += 1
        two = head.mask_logits(head(x, rois, feats))[-1]
    changed = ((one - two).abs() > 1e-6).flatten(1).any(1)
    assert changed[2] and not changed[0]


def test_position_code_counts():
    x, rois = pyramid(), make_rois()
    one, two = make_head(), make_head(with_pos_code=False)
    two.load_state_dict(one.state_dict())  # the code is no weight
    assert not torch.allclose(
        masks_of(one, x, rois)[0], masks_of(two, x, rois)[0], atol=1e-3)


def test_half_precision_keeps_levels_and_places():
    """In float16 the area of a 257 px box is infinite: level 3, not 2."""
    head = make_head(num_refine=30)
    seen = []
    head.refinements[0].register_forward_pre_hook(
        lambda module, args: seen.append(args[0].levels))
    rois = torch.tensor([[0., 700.25, 1001.5, 957.25, 1258.5]])
    torch.manual_seed(0)
    x = [torch.randn(1, 12, 1536 // s, 1536 // s) for s in STRIDES]
    with torch.no_grad():
        want = head.mask_logits(head(x, rois))[-1]
        with torch.autocast('cpu', torch.bfloat16):
            got = head.mask_logits(
                head([level.bfloat16() for level in x], rois))[-1]
    assert [levels.tolist() for levels in seen] == [[2], [2]]
    assert got.dtype == torch.float32
    # Half precision may choose other cells; most of the mask is the same.
    error = (got - want).abs().flatten().sort().values
    assert error[int(0.9 * len(error))] < 0.1 * want.std()


def ground_truth(seed=0):
    generator = torch.Generator().manual_seed(seed)
    batch = []
    for count in (3, 2):
        masks = torch.rand(count, HEIGHT // 8, WIDTH // 8, generator=generator)
        masks = (masks > 0.5).repeat_interleave(8, 1).repeat_interleave(8, 2)
        batch.append(
            InstanceData(
                masks=BitmapMasks(masks.numpy().astype('uint8'), HEIGHT,
                                  WIDTH)))
    return batch


INDS = torch.tensor([2, 0, 1, 1, 0])


def test_targets_belong_to_the_right_objects():
    head, rois, batch = make_head(), make_rois(), ground_truth()
    coverage = head.get_targets(rois, INDS, batch)
    assert coverage.shape == (5, 112, 112) and not coverage.requires_grad
    for r in range(5):
        mask = batch[int(rois[r, 0])].masks.masks[INDS[r]]
        x1, y1, x2, y2 = BOXES[r]
        for row, column in ((3, 60), (111, 0), (50, 99)):
            x = x1 + (x2 - x1) * (column + .5) / 112
            y = y1 + (y2 - y1) * (row + .5) / 112
            near = mask[max(int(y) - 2, 0):int(y) + 3,
                        max(int(x) - 2, 0):int(x) + 3]
            if near.min() == near.max():
                assert float(coverage[r, row, column]) == pytest.approx(
                    float(near[0, 0]), abs=1e-4)


def test_polygons_are_rasterised_softly():
    head = make_head()
    polygon = np.array([10., 10., 80., 12., 60., 70.])
    polygons = PolygonMasks([[polygon]], HEIGHT, WIDTH)
    rois = torch.tensor([[0., 5.3, 6.1, 90.2, 75.7]])
    a, b = (head.get_targets(rois, torch.tensor([0]),
                             [InstanceData(masks=masks)])
            for masks in (polygons, polygons.to_bitmap()))
    assert torch.equal(a, b)
    assert ((a > 0.01) & (a < 0.99)).any()


def test_losses_equal_the_formula():
    head = make_head(num_refine=70)
    rois, batch = make_rois(), ground_truth()
    outputs = head(pyramid(), rois)
    result = head.loss_and_target(outputs, rois, INDS, batch)
    coverage = result['mask_targets']
    assert len(result['loss_mask']) == 8
    for s, (seg, ref) in enumerate(
            zip((.25, .375, .375, .5), (.25, .25, .25, .25))):
        size = 14 * 2**s
        cells = coverage.unfold(1, 112 // size, 112 // size).unfold(
            2, 112 // size, 112 // size).flatten(3)
        places = outputs['grids'][s].places
        inside = (cells.mean(3) > .5).flatten()[places]
        edge = ((cells.amax(3) > 1e-4) &
                (cells.amin(3) < 1 - 1e-4)).flatten()[places]
        for name, weight, target in (('seg', seg, inside), ('ref', ref,
                                                            edge)):
            probs = outputs[f'{name}_logits'][s].double().sigmoid()
            likely = torch.where(target, probs, 1 - probs)
            want = -weight * likely.log().mean()
            got = result['loss_mask'][f'loss_{name}_s{s}']
            assert float(got) == pytest.approx(float(want), rel=1e-4)
            assert 0 < target.float().mean() < 1


def test_every_parameter_gets_a_gradient():
    head = make_head(num_refine=70, inst_feat_channels=6)
    rois, feats = make_rois(), torch.randn(5, 6, requires_grad=True)
    losses = head.loss_and_target(
        head(pyramid(), rois, feats), rois, INDS, ground_truth())
    sum(losses['loss_mask'].values()).backward()
    for name, value in head.named_parameters():
        assert value.grad is not None and value.grad.abs().sum() > 0, name
    assert feats.grad.abs().sum() > 0


def test_true_logits_cost_nothing():
    head = make_head(num_refine=70)
    rois, batch = make_rois(), ground_truth()
    outputs = head(pyramid(), rois)
    coverage = head.get_targets(rois, INDS, batch)
    fine = outputs['grids'][3].places
    target = (coverage.flatten()[fine] > 0.5).float()
    outputs['seg_logits'][3] = (target * 2 - 1) * 50
    losses = head.loss_and_target(outputs, rois, INDS, batch)['loss_mask']
    assert float(losses['loss_seg_s3']) < 1e-6


def detections(scores=(.9, .5, .8)):
    return InstanceData(
        bboxes=torch.tensor(BOXES[:3]),
        scores=torch.tensor(scores),
        labels=torch.tensor([2, 0, 1]))


META = dict(img_shape=(96, 160), ori_shape=(48, 64), scale_factor=(2.5, 2.))


@pytest.mark.parametrize('rescale', [True, False])
def test_predictions(rescale):
    head = make_head()
    logits = torch.full((3, 1, 112, 112), 20.)
    logits[1] = -20
    logits[2, :, :56] = 1.5
    logits[2, :, 56:] = -3
    boxes = torch.tensor(BOXES[:3])
    found, = head.predict_by_feat([logits], [boxes], [detections()], [META],
                                  rescale)
    scale = torch.tensor([2.5, 2., 2.5, 2.]) if rescale else torch.ones(4)
    assert torch.allclose(found.bboxes, boxes / scale)
    assert torch.equal(boxes, torch.tensor(BOXES[:3]))
    assert found.masks.shape == (3, *META['ori_shape' if rescale else
                                          'img_shape'])
    assert found.masks.dtype == torch.bool
    area = (found.bboxes[:, 2:] - found.bboxes[:, :2]).prod(1)
    shares = found.masks.flatten(1).sum(1) / area
    assert shares[0] == pytest.approx(1, abs=0.05) and shares[1] == 0
    sure = torch.tensor([1., 0., torch.tensor(1.5).sigmoid()])
    assert torch.allclose(found.scores, torch.tensor([.9, .5, .8]) * sure)


def test_score_weights():
    head = make_head(mask_score_weighting=False)
    logits = torch.randn(3, 1, 112, 112)
    args = [logits], [torch.tensor(BOXES[:3])]
    plain, = head.predict_by_feat(*args, [detections()], [META])
    assert torch.equal(plain.scores, detections().scores)
    head.mask_score_weighting = True
    found, = head.predict_by_feat(*args, [detections()], [META])
    weights = found.scores / plain.scores
    assert torch.allclose(weights, mask_scores(logits.sigmoid()))
    assert ((weights > 0.5) & (weights <= 1)).all()


def test_nothing_to_predict():
    empty = detections()[:0]
    found, = make_head().predict_by_feat([torch.zeros(0, 1, 112, 112)],
                                         [torch.zeros(0, 4)], [empty], [META],
                                         True)
    assert found.masks.shape == (0, 48, 64)


def test_initialisation():
    head = make_head(
        logits_std=1e-4,
        init_cfg=dict(type='Constant', layer='IndexConv2d', val=0.125))
    first = head.refinements[0].child_first.weight.clone()
    head.init_weights()
    assert (head.refinements[1].process.conv.weight == 0.125).all()
    assert head.seg_predictors[2][-1].weight.abs().max() < 1e-3
    assert torch.equal(head.refinements[0].child_first.weight, first)


@pytest.mark.parametrize('kwargs, message', [
    (dict(process='sfn'), 'process'),
    (dict(refine_scope='gpu'), 'refine_scope'),
    (dict(num_refine=-1), 'num_refine'),
    (dict(num_stages=0), 'num_stages'),
    (dict(feat_channels=12), 'feat_channels'),
    (dict(num_stages=3), 'loss_seg_weights'),
    (dict(in_channels=10), 'multiple of 4'),
])
def test_mistakes_stop(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_head(**kwargs)
