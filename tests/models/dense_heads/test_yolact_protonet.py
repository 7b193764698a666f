"""Masks combined late are those that mmdet combines at once."""
import pytest
import torch
from mmdet.models.dense_heads import YOLACTProtonet as Upstream
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmseghead.models.dense_heads import YOLACTProtonet
from mmseghead.utils.mask_budget import mask_budget

META = dict(img_shape=(48, 80), ori_shape=(37, 101), scale_factor=(.8, 1.3))


def heads():
    torch.manual_seed(0)
    options = dict(
        num_classes=3,
        in_channels=6,
        proto_channels=(6, None, 10),
        proto_kernel_sizes=(3, -2, 1),
        num_protos=10,
        loss_segm=dict(type='mmdet.CrossEntropyLoss', use_sigmoid=True),
        test_cfg=ConfigDict(mask_thr=0.5, mask_thr_binary=0.5))
    ours = YOLACTProtonet(**options)
    theirs = Upstream(**options)
    theirs.load_state_dict(ours.state_dict())
    return ours.eval(), theirs.eval()


def detections(count):
    generator = torch.Generator().manual_seed(count)
    corner = torch.rand(count, 2, generator=generator) * torch.tensor([60, 30])
    side = torch.rand(count, 2, generator=generator) * 25
    return InstanceData(
        bboxes=torch.cat((corner, corner + side), 1),
        labels=torch.zeros(count, dtype=torch.long),
        scores=torch.rand(count, generator=generator),
        coeffs=torch.randn(count, 10, generator=generator))


@pytest.mark.parametrize('mib', [0, 0.3, None])
@pytest.mark.parametrize('rescale', [True, False])
@torch.no_grad()
def test_equals_mmdet(mib, rescale):
    ours, theirs = heads()
    x = (torch.randn(3, 6, 12, 20), )
    counts, metas = (5, 0, 1), [META] * 3
    wanted = [detections(count) for count in counts]
    outs = theirs(x, wanted)
    wanted = theirs.predict_by_feat(
        *outs, results_list=wanted, batch_img_metas=metas, rescale=rescale)
    found = [detections(count) for count in counts]
    with mask_budget(mib):
        outs = ours(x, found)
        found = ours.predict_by_feat(
            *outs, results_list=found, batch_img_metas=metas, rescale=rescale)
    for one, other in zip(found, wanted):
        assert torch.equal(one.bboxes, other.bboxes)
        if len(other) > 1:
            assert other.masks.any() and not other.masks.all()
        masks = torch.as_tensor(one.masks.numpy())
        assert torch.equal(masks, other.masks)


def test_training_is_mmdets():
    ours, theirs = heads()
    x = (torch.randn(1, 6, 12, 20), )
    for head in (ours, theirs):
        head.train()
    one, segm = ours(x, [detections(4)])
    other, wanted = theirs(x, [detections(4)])
    assert torch.equal(one[0], other[0]) and torch.equal(segm, wanted)
