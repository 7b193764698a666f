"""mmdet's pasting in bounded memory pastes the same."""
import pytest
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead as Upstream
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmseghead.models.roi_heads import CoarseMaskHead, FCNMaskHead
from mmseghead.utils.mask_budget import mask_budget

META = dict(img_shape=(48, 80), ori_shape=(37, 101), scale_factor=(.8, 1.3))
CFG = ConfigDict(mask_thr_binary=0.5)
BOXES = torch.tensor([[3.2, 4.1, 30.7, 29.], [-6., -3., 20., 11.5],
                      [60., 30., 95., 60.], [0., 0., 80., 48.],
                      [7., 7., 7.4, 40.], [12., 9., 12., 9.]])
LABELS = torch.tensor([1, 0, 2, 2, 0, 1])


def head_of(kind, **options):
    return kind(num_convs=0, num_classes=3, in_channels=4,
                conv_out_channels=4, **options)


def predict(head, rescale, per_class=True, cfg=CFG, **options):
    generator = torch.Generator().manual_seed(1)
    channels = 3 if per_class else 1
    logits = torch.randn(len(BOXES), channels, 9, 9, generator=generator)
    found = InstanceData(bboxes=BOXES.clone(), labels=LABELS)
    found, = head.predict_by_feat([logits], [found], [META], cfg, rescale,
                                  **options)
    return found


@pytest.mark.parametrize('mib', [0, 0.13, None])
@pytest.mark.parametrize('rescale', [True, False])
@pytest.mark.parametrize('agnostic', [True, False])
def test_equals_mmdet(mib, rescale, agnostic):
    options = dict(class_agnostic=agnostic)
    wanted = predict(head_of(Upstream, **options), rescale, not agnostic)
    assert wanted.masks.any((1, 2)).sum() == 4
    with mask_budget(mib):
        found = predict(head_of(FCNMaskHead, **options), rescale, not agnostic)
    assert found.masks.shape == wanted.masks.shape
    # Boxes are rescaled once each, however many passes there are.
    assert torch.equal(found.bboxes, wanted.bboxes)
    assert torch.equal(torch.as_tensor(found.masks.numpy()), wanted.masks)


def test_negative_thresholds_are_mmdets():
    cfg = ConfigDict(mask_thr_binary=-1)
    wanted = predict(head_of(Upstream), True, cfg=cfg)
    with mask_budget(0):
        found = predict(head_of(FCNMaskHead), True, cfg=cfg)
    assert found.masks.dtype == torch.uint8
    assert torch.equal(found.masks, wanted.masks)


def test_coarse_head_is_bounded_too():
    with mask_budget(0):
        found = predict(head_of(CoarseMaskHead, fc_out_channels=8), True)
    wanted = predict(head_of(CoarseMaskHead, fc_out_channels=8), True)
    assert torch.equal(found.masks.to_tensor(), wanted.masks)
