"""Masks in the frames of boxes, against mmdet's and against loops."""
import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmseghead.functional.box_masks import crop_masks, paste_masks

HEIGHT, WIDTH = 37, 53
BOXES = torch.tensor([
    [3.2, 4.7, 30.1, 20.9],
    [-6.0, -3.5, 12.0, 9.5],  # over the corner
    [40.3, 25.1, 60.0, 44.0],
    [10.0, 8.0, 11.0, 9.0],  # one pixel
    [0.0, 0.0, 53.0, 37.0],
])


def random_masks(number, seed=0):
    rng = np.random.RandomState(seed)
    return (rng.rand(number, HEIGHT, WIDTH) > 0.5).astype(np.uint8)


def test_crops_are_mmdets():
    masks = random_masks(3)
    inds = torch.tensor([2, 0, 1, 1, 2])
    found = crop_masks(torch.from_numpy(masks), inds, BOXES, 7)
    wanted = BitmapMasks(masks, HEIGHT, WIDTH).crop_and_resize(
        BOXES.numpy(), (7, 7), inds.numpy(), 'cpu')
    assert found.dtype == torch.float32
    assert torch.equal(found, torch.from_numpy(wanted.masks).float())


def test_crop_of_a_rectangle_at_its_own_box_is_full():
    mask = torch.zeros(1, HEIGHT, WIDTH, dtype=torch.uint8)
    mask[0, 5:17, 9:30] = 1
    box = torch.tensor([[9., 5., 30., 17.]])
    assert crop_masks(mask, torch.tensor([0]), box, 6).all()
    # Half as far left: the right half is filled.
    box = torch.tensor([[-12., 5., 30., 17.]])
    found = crop_masks(mask, torch.tensor([0]), box, 6)
    assert torch.equal(found[0, :, :3], torch.zeros(6, 3))
    assert found[0, :, 3:].all()


def test_empty_crops():
    masks = torch.zeros(0, HEIGHT, WIDTH, dtype=torch.uint8)
    none = torch.zeros(0, dtype=torch.long)
    assert crop_masks(masks, none, torch.zeros(0, 4), 28).shape == (0, 28, 28)
    box = torch.tensor([[8., 8., 8., 8.]])
    mask = torch.zeros(1, HEIGHT, WIDTH)
    assert not crop_masks(mask, torch.tensor([0]), box, 4).any()


@pytest.mark.parametrize('side', [5, 28])
def test_pasting_is_mmdets(side):
    torch.manual_seed(side)
    logits = torch.randn(len(BOXES), 1, side, side)
    head = FCNMaskHead(num_convs=0, num_classes=1, class_agnostic=True)
    result = InstanceData(
        bboxes=BOXES.clone(), labels=torch.zeros(len(BOXES), dtype=torch.long))
    meta = dict(ori_shape=(HEIGHT, WIDTH), scale_factor=(1., 1.))
    wanted, = head.predict_by_feat([logits], [result], [meta],
                                   ConfigDict(mask_thr_binary=0.5),
                                   rescale=True)
    found = paste_masks(logits[:, 0].sigmoid(), BOXES, (HEIGHT, WIDTH), 0.5)
    assert found.dtype == torch.bool
    # A pixel at the threshold may fall on either side.
    assert (found != wanted.masks).sum() <= 2
    assert found[[0, 1, 2, 4]].any((1, 2)).all()


def test_full_masks_fill_their_boxes():
    box = torch.tensor([[4., 6., 21., 30.]])
    # Interpolation with the zeros around takes the corners down to 0.49.
    found = paste_masks(torch.ones(1, 7, 7), box, (HEIGHT, WIDTH), 0.4)
    wanted = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    wanted[6:30, 4:21] = True
    assert torch.equal(found[0], wanted)


def test_pasting_nothing_and_far_away():
    assert paste_masks(torch.zeros(0, 7, 7), torch.zeros(0, 4), (5, 9),
                       0.5).shape == (0, 5, 9)
    boxes = torch.tensor([[100., 100., 120., 130.], [-50., -40., -20., -10.],
                          [3., 3., 3., 3.]])
    assert not paste_masks(torch.ones(3, 7, 7), boxes, (5, 9), 0.5).any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    probs = torch.rand(len(BOXES), 9, 9)
    found = paste_masks(probs.to(dtype), BOXES, (HEIGHT, WIDTH), 0.5)
    wanted = paste_masks(probs, BOXES, (HEIGHT, WIDTH), 0.5)
    assert (found != wanted).float().mean() < 0.01
