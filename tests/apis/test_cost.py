"""Cost: counts against hand counts, and fixed numbers of instances."""
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import nn

from mmseghead.apis import cost as cost_module
from mmseghead.apis.cost import (FlopCounter, build_model, count_parameters,
                                 measure_cost, test_shape, write_cost)
from mmseghead.apis.fixed_instances import (certain_scores, fixed_instances,
                                            resized)
from mmseghead.apis.model_index import load_index
from mmseghead.apis.stages import REST, StageTracker, stage_modules
from mmseghead.functional.index_conv import index_conv

find_shape = test_shape  # pytest would collect the name itself
del test_shape


def _count(function, *args):
    counter = FlopCounter()
    with torch.no_grad(), counter.around_mmcv_ops(), counter:
        function(*args)
    return sum(counter.flops.values())


@pytest.mark.parametrize('layer, shape, expected', [
    (nn.Conv2d(6, 10, 3, padding=1), (1, 6, 5, 7), 5 * 7 * 10 * 6 * 9),
    (nn.Conv2d(6, 10, (1, 3), stride=2), (2, 6, 8, 9), 2 * 4 * 4 * 60 * 3),
    (nn.Conv2d(6, 12, 3, padding=1, groups=3), (1, 6, 5, 7),
     35 * 12 * 2 * 9),
    (nn.Conv2d(6, 6, 5, padding=2, groups=6), (1, 6, 5, 7), 35 * 6 * 25),
    (nn.ConvTranspose2d(6, 10, 2, stride=2), (3, 6, 5, 7),
     3 * 35 * 60 * 4),
    (nn.Linear(6, 10), (4, 6), 240),
    (nn.Linear(6, 10), (2, 3, 6), 360),
    (nn.BatchNorm2d(6).eval(), (1, 6, 5, 7), 0),
    (nn.Upsample(scale_factor=2, mode='bilinear'), (1, 6, 5, 7), 0),
])
def test_layers_by_hand(layer, shape, expected):
    assert _count(layer, torch.randn(shape)) == expected


def test_products_by_hand():
    a, b = torch.randn(2, 3, 5), torch.randn(2, 5, 7)
    assert _count(torch.bmm, a, b) == 210
    assert _count(torch.matmul, a, b[0]) == 210
    assert _count(torch.einsum, 'bij,bjk->bik', a, b) == 210
    assert _count(torch.mv, a[0], b[0, :, 0]) == 15
    assert _count(torch.dot, a[0, 0], b[0, :, 0]) == 5


def test_dynamic_convolution_by_hand():
    x, weight = torch.randn(1, 6, 5, 7), torch.randn(11, 6, 1, 1)
    assert _count(nn.functional.conv2d, x, weight) == 35 * 66


def test_point_head_by_hand():
    from mmdet.models.roi_heads.mask_heads import MaskPointHead
    head = MaskPointHead(
        num_classes=5, num_fcs=2, in_channels=6, fc_channels=7,
        coarse_pred_each_layer=True,
        loss_point=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True))
    rois, points = 3, 11
    fine, coarse = torch.randn(rois, 6, points), torch.randn(rois, 5, points)
    # Each layer also reads the 5 coarse logits.
    by_hand = rois * points * (7 * (6 + 5) + 7 * (7 + 5) + 5 * (7 + 5))
    assert _count(head, fine, coarse) == by_hand


@pytest.mark.parametrize('branches', [1, 3])
def test_sparse_convolution_by_hand(branches):
    active, passive = torch.randn(5, 6), torch.randn(4, 6)
    weight = torch.randn(branches, 10, 6, 3, 3)
    # Rows 0 to 8 exist, 9 stands for a place that does not.
    ids = torch.randint(0, 10, (5, 1 + 8 * branches))
    # A matrix product knows no holes: it multiplies with zeros there.
    by_hand = 5 * branches * 9 * 6 * 10
    assert _count(index_conv, active, passive, ids, weight) == by_hand


def test_operators_of_mmcv_count_by_their_size():
    from mmcv.ops import RoIAlign, modulated_deform_conv2d
    rois = torch.tensor([[0., 1., 1., 9., 7.]])
    align = RoIAlign(output_size=7, sampling_ratio=2)
    assert _count(align, torch.randn(1, 6, 12, 13), rois) == 0
    x, weight = torch.randn(1, 6, 5, 7), torch.randn(10, 6, 3, 3)
    offset, mask = torch.randn(1, 18, 5, 7), torch.rand(1, 9, 5, 7)
    flops = _count(modulated_deform_conv2d, x, offset, mask, weight, None, 1,
                   1)
    assert flops == 35 * 10 * 6 * 9


def test_insides_of_operators_are_not_counted(monkeypatch):
    extension = type(sys)('mmcv._ext')
    matrix = torch.randn(3, 4)

    def roi_align_forward():
        return matrix @ matrix.T

    extension.roi_align_forward = roi_align_forward
    monkeypatch.setitem(sys.modules, cost_module._EXTENSION, extension)
    assert _count(lambda: extension.roi_align_forward()) == 0
    assert extension.roi_align_forward is roi_align_forward
    assert _count(lambda: matrix @ matrix.T) == 36


class _RoIHead(nn.Module):

    def __init__(self):
        super().__init__()
        self.mask_head = nn.Linear(3, 4)

    def predict_mask(self, x):
        return self.mask_head(x) @ torch.ones(4, 5)


class _Detector(nn.Module):

    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 3)
        self.roi_head = _RoIHead()

    def predict(self, x):
        x = self.backbone(x) @ torch.ones(3, 3)
        return self.roi_head.predict_mask(x)


def test_innermost_stage_counts():
    model = _Detector()
    assert list(stage_modules(model)) == [
        'backbone', 'roi_head', 'roi_head.mask_head'
    ]
    tracker = StageTracker()
    counter = FlopCounter(lambda: tracker.current)
    before = dict(vars(model.backbone))
    with torch.no_grad(), tracker.watching(model), counter:
        model.predict(torch.randn(7, 2))
    flops = {name: number for name, number in counter.flops.items() if number}
    assert flops == {
        'backbone': 7 * 6,
        REST: 7 * 9,
        'roi_head.mask_head': 7 * 12,
        'roi_head': 7 * 20
    }
    assert vars(model.backbone).keys() == before.keys()
    assert 'predict_mask' not in vars(model.roi_head)


@pytest.mark.parametrize('found', [0, 1, 3, 9])
def test_resized_instances(found):
    instances = InstanceData(
        bboxes=torch.rand(found, 4), labels=torch.arange(found),
        scores=torch.rand(found), places=torch.ones(found, 4).long())
    wanted = resized(instances, 5, (30, 70))
    assert wanted.places.shape == (5, 4)
    assert wanted.places.dtype == torch.long
    assert len(wanted) == len(wanted.labels) == len(wanted.scores) == 5
    x1, y1, x2, y2 = wanted.bboxes.T
    assert (x1 >= 0).all() and (x2 <= 70).all() and (x2 > x1).all()
    assert (y1 >= 0).all() and (y2 <= 30).all() and (y2 > y1).all()
    if found:
        assert (wanted.labels == torch.arange(5) % found).all()


@pytest.mark.parametrize('anchors', [1, 3])
@pytest.mark.parametrize('background', [False, True])
def test_certain_scores(background, anchors):
    classes, channels = 4, anchors * (5 if background else 4)
    scores = [torch.randn(1, channels, 6, 7), torch.randn(1, channels, 3, 2)]
    shaped = certain_scores(scores, 11, classes, background)
    assert [s.shape for s in shaped] == [s.shape for s in scores]
    logits = torch.cat([
        s.permute(0, 2, 3, 1).reshape(-1, channels // anchors) for s in shaped
    ])
    if background:
        probs = logits.softmax(1)[:, :classes]
    else:
        probs = logits.sigmoid()
    assert ((probs > 0.99).sum(), (probs > 1e-3).sum()) == (11, 11)
    assert (probs > 0.5).any(0).all()  # all classes take part
    few = certain_scores(scores, 1000, classes, background)
    assert sum((s > 0).any(1).sum() for s in few) == 48


class _Named(nn.Module):

    def predict_by_feat(self, feats, mlvl_cls_scores, rescale=False):
        return mlvl_cls_scores


class _HandsOn(_Named):

    def predict_by_feat(self, *args, **kwargs):
        return super().predict_by_feat(*args, **kwargs)


@pytest.mark.parametrize('head', [_Named(), _HandsOn()])
def test_scores_are_found_by_name(head):
    model = nn.Module()
    model.mask_head = head
    scores = [torch.zeros(1, 1, 6, 7)]
    with fixed_instances(model, 4, 3, (30, 70)):
        for given in (head.predict_by_feat(0, scores),
                      head.predict_by_feat(0, mlvl_cls_scores=scores)):
            assert (given[0] > 0).sum() == 3
    assert head.predict_by_feat(0, scores) is scores


def _shape_config(**step):
    return Config(dict(test_dataloader=dict(dataset=dict(
        type='Wrapper', dataset=dict(pipeline=[
            dict(type='Load'), dict(type='mmdet.Resize', **step),
            dict(type='Pack')])))))


def test_shape_of_the_test_pipeline():
    assert find_shape(_shape_config(
        scale=(1333, 800), keep_ratio=True)) == (800, 1333)
    assert find_shape(_shape_config(
        scale=(800, 1333), keep_ratio=True)) == (800, 1333)
    assert find_shape(_shape_config(scale=(3, 5))) == (5, 3)
    with pytest.raises(ValueError, match='Resize'):
        find_shape(_shape_config())


_QUICK = ('mask_rcnn/mask-rcnn', 'point_rend/point-rend', 'yolact/yolact',
          'solo/solo', 'solov2/solov2')


@pytest.mark.parametrize('path', _QUICK)
def test_quick_configs(path, request):
    root = request.config.rootpath / 'configs'
    config = Config.fromfile(root / f'{path}_quick_nuclei.py')
    cost = measure_cost(config, (64, 96), proposals=20, instances=5)
    more = measure_cost(config, (64, 96), proposals=20, instances=9)
    assert cost.parameters == count_parameters(build_model(config))
    assert cost.stages['backbone'] == more.stages['backbone']
    assert all(stage.flops >= 0 for stage in cost.stages.values())
    mask = [
        n for n in cost.stages
        if n.endswith(('mask_head', 'point_head', 'paste'))
    ]
    assert mask and all(cost.stages[name].flops > 0 for name in mask)
    if path != 'solo/solo':  # whose masks are all there before any is chosen
        one, other = (sum(c.stages[name].flops for name in mask)
                      for c in (cost, more))
        assert other > one
    if 'roi_head.mask_head' in cost.stages:
        one, other = (c.stages['roi_head.mask_head'].flops
                      for c in (cost, more))
        assert one * 9 == other * 5


def test_cost_of_an_image_and_of_each_instance(request):
    """RefineMask reads the finest map once, whatever there is to segment."""
    path = request.config.rootpath / 'configs/refinemask'
    config = Config.fromfile(path / 'refinemask_quick_nuclei.py')
    flops = [
        measure_cost(config, (64, 96), proposals=20,
                     instances=n).stages['roi_head.mask_head'].flops
        for n in (3, 5, 9)
    ]
    each = (flops[1] - flops[0]) // 2
    assert flops[2] - flops[1] == 4 * each > 0
    # Four 3x3 and four 1x1 layers on 16 x 24 cells.
    fixed = 16 * 24 * (4 * 9 * 64 * 64 + 64 * (64 + 32 + 16) + 64)
    assert flops[0] - 3 * each == fixed


@pytest.mark.parametrize('wrong', [
    dict(img_shape=(0, 5)), dict(proposals=0), dict(instances=-1)
])
def test_counts_must_be_positive(wrong, request):
    path = request.config.rootpath / 'configs/solo/solo_quick_nuclei.py'
    with pytest.raises(ValueError, match='must be >= 1'):
        measure_cost(path, **wrong)


def test_write_cost(zoo):
    entry = load_index(zoo.root)['fake_r50_fpn_1x_coco']
    cost = cost_module.Cost((30, 70), dict(
        backbone=cost_module.StageCost(11, 1200),
        rest=cost_module.StageCost(2, 34)))
    assert write_cost(entry, cost)
    entry = load_index(zoo.root)[entry.name]
    assert (entry.parameters, entry.flops) == (13, 1234)
    assert entry.metadata['FLOPs Resolution'] == '(70, 30)'
    assert entry.metadata['Training Data'] == 'COCO'
    assert not write_cost(entry, cost)
