"""Views are put upright and merged, in either form of masks."""
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmseghead.functional.mask_rle import EncodedMasks, to_rles
from mmseghead.models.test_time_augs import MaskTTAModel
from mmseghead.models.test_time_augs.mask_tta_model import upright
from mmseghead.utils.mask_budget import mask_budget

SIZE = (20, 34)
DIMS = dict(horizontal=(2, ), vertical=(1, ), diagonal=(1, 2))


class Nothing(nn.Module):

    def test_step(self, data):
        raise NotImplementedError


def masks_of(count=3):
    """Ellipses that no flip leaves as they are."""
    rows = torch.arange(SIZE[0])[:, None]
    columns = torch.arange(SIZE[1])
    return torch.stack([
        ((columns - 8 - 7 * i) / 6)**2 + ((rows - 5 - 4 * i) / 4)**2 <= 1
        for i in range(count)
    ]) if count else torch.zeros(0, *SIZE, dtype=torch.bool)


def boxes_of(masks):
    from mmdet.structures.mask import mask2bbox
    return mask2bbox(masks)


def sample(direction=None, count=3, encoded=False, with_masks=True):
    """A view that sees the same objects in a flipped image."""
    masks = masks_of(count)
    if direction:
        masks = masks.flip(DIMS[direction])
    found = InstanceData(
        bboxes=boxes_of(masks),
        scores=torch.tensor([.9, .7, .5])[:count],
        labels=torch.tensor([0, 1, 0])[:count],
        contours=torch.zeros(count, 2))  # a field that only PolarMask has
    if with_masks:
        found.masks = EncodedMasks(to_rles(masks), SIZE) if encoded else masks
    result = DetDataSample(metainfo=dict(
        ori_shape=SIZE, flip=direction is not None, flip_direction=direction))
    result.pred_instances = found
    return result


@pytest.mark.parametrize('direction', [None, *DIMS])
@pytest.mark.parametrize('encoded', [True, False])
def test_upright(direction, encoded):
    found = upright(sample(direction, encoded=encoded))
    assert isinstance(found.masks, EncodedMasks)
    assert torch.equal(found.masks.to_tensor(), masks_of())
    assert torch.equal(found.bboxes, boxes_of(masks_of()))
    assert set(found.keys()) == {'bboxes', 'scores', 'labels', 'masks'}


@pytest.mark.parametrize('mib', [0, None])
def test_views_that_agree_change_nothing(mib):
    model = MaskTTAModel(module=Nothing())
    views = [sample(None), sample('horizontal', encoded=True),
             sample('vertical'), sample('diagonal')]
    truth = views[0].gt_instances = InstanceData(labels=torch.tensor([3]))
    with mask_budget(mib):
        merged, empty = model.merge_preds(
            [views, [sample(None, 0), sample('vertical', 0)]])
    found = merged.pred_instances
    assert merged.gt_instances is truth
    assert isinstance(found.masks, EncodedMasks) == (mib == 0)
    assert torch.equal(torch.as_tensor(found.masks.numpy()), masks_of())
    assert torch.allclose(found.bboxes, boxes_of(masks_of()))
    assert found.scores.tolist() == pytest.approx([.9, .7, .5])
    assert found.labels.tolist() == [0, 1, 0]
    assert empty.pred_instances.masks.shape == (0, *SIZE)


def test_without_masks_and_with_a_limit():
    model = MaskTTAModel(max_per_img=2, module=Nothing())
    merged, = model.merge_preds([[
        sample(None, with_masks=False),
        sample('diagonal', with_masks=False)
    ]])
    assert 'masks' not in merged.pred_instances
    assert torch.allclose(merged.pred_instances.bboxes,
                          boxes_of(masks_of())[:2])


@pytest.mark.parametrize('iou_thr', [0, 1.5, -1])
def test_errors(iou_thr):
    with pytest.raises(ValueError, match='`iou_thr` of MaskTTAModel'):
        MaskTTAModel(iou_thr=iou_thr, module=Nothing())
