"""The head: targets, loss through mmdet's life cycle, predictions."""
import numpy as np
import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import nn

from mmseghead.functional.spatial_embedding import PIXEL_STEPS
from mmseghead.models.dense_heads import SpatialEmbeddingHead
from mmseghead.models.dense_heads.spatial_embedding_head import pixel_maps
from mmseghead.registry import MODELS
from mmseghead.testing import fake_batch

CLASSES = 5


class GivenMaps(nn.Module):
    """A decoder that returns what its output's bias says everywhere."""

    def __init__(self, out_channels):
        super().__init__()
        self.output = nn.ConvTranspose2d(4, out_channels, 2, 2)

    def forward(self, x):
        return self.output(x[0])


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseghead')
    if 'GivenMaps' not in MODELS:
        MODELS.register_module(module=GivenMaps)


def make_head(**changes):
    options = dict(num_classes=CLASSES, decoder=dict(type='GivenMaps'))
    return SpatialEmbeddingHead(**dict(options, **changes))


def instances(masks, labels):
    masks = np.asarray(masks, np.uint8)
    return InstanceData(
        labels=torch.tensor(labels, dtype=torch.long),
        masks=BitmapMasks(masks, *masks.shape[1:]))


@pytest.mark.parametrize('num_sigma', [1, 2])
@pytest.mark.parametrize('init', [False, True])
def test_at_the_beginning_pixels_are_their_own_embeddings(num_sigma, init):
    head = make_head(
        decoder=dict(type='ERFNetDecoder', in_channels=16, channels=(8, 6)),
        num_sigma=num_sigma)
    if init:
        head.init_weights()
    with torch.no_grad():
        offset_sigma, seeds = head((torch.randn(2, 16, 3, 5), ))
    assert offset_sigma.shape == (2, 2 + num_sigma, 24, 40)
    assert seeds.shape == (2, CLASSES, 24, 40)
    assert not offset_sigma[:, :2].any()
    assert (offset_sigma[:, 2:] == 1).all()
    assert seeds.std() > 0


def small_truth():
    """Return two images of unequal sizes, one instance behind another."""
    first = np.zeros((3, 4, 6), np.uint8)
    first[0, :, :4] = 1  # the largest
    first[1, 1:3, 1:3] = 1
    first[2, 1, 1] = 1
    second = np.zeros((1, 5, 3), np.uint8)
    second[0, 4, 2] = 1
    return [instances(first, [4, 0, 2]), instances(second, [1])], [
        dict(img_shape=(4, 6)), dict(img_shape=(5, 3))]


def test_targets_are_painted_in_the_batch_of_padded_images():
    truth, metas = small_truth()
    targets = make_head().paint_targets(truth, metas, None,
                                        torch.zeros(2, 3, 8, 8))
    assert targets.ids.shape == (2, 8, 8)
    assert targets.images.tolist() == [0, 0, 0, 1]
    assert targets.labels.tolist() == [4, 0, 2, 1]
    assert targets.ids[0, 1, :6].tolist() == [1, 3, 2, 1, 0, 0]
    assert targets.ids[1].nonzero().tolist() == [[4, 2]]
    assert targets.ids[1, 4, 2] == 4
    # Padding does not count, for any class.
    assert targets.valid.shape == (2, CLASSES, 8, 8)
    for image, (height, width) in zip(targets.valid, ((4, 6), (5, 3))):
        assert image[:, :height, :width].all()
        assert image.sum() == CLASSES * height * width


def test_hidden_instances_are_dropped():
    truth, metas = small_truth()
    head = make_head(overlap='last_on_top')
    order = torch.tensor([1, 2, 0])
    truth[0] = instances(truth[0].masks.masks[order], [0, 2, 4])
    targets = head.paint_targets(truth, metas, None, torch.zeros(2, 3, 5, 6))
    assert targets.labels.tolist() == [4, 1]
    assert targets.images.tolist() == [0, 1]
    assert targets.ids.max() == 2


def test_more_than_255_instances():
    truth = [instances(np.eye(300, dtype=np.uint8).reshape(300, 15, 20),
                       [3] * 300)]
    targets = make_head().paint_targets(
        truth, [dict(img_shape=(15, 20))], None, torch.zeros(1, 3, 15, 20))
    assert targets.ids.max() == 300 and targets.valid is None


@pytest.mark.parametrize('mode, padding, crowd', [
    ('background', True, True), ('ignore', False, False),
    (dict(padding='ignore'), False, True),
    (dict(crowd='ignore', padding='background'), True, False)
])
def test_ignored_regions(mode, padding, crowd):
    """A crowd of class 2 below an instance of class 1."""
    mask = np.zeros((1, 4, 6), np.uint8)
    mask[0, 0, 0] = 1
    region = np.zeros((1, 4, 6), np.uint8)
    region[0, :2, :2] = 1
    truth, ignored = [instances(mask, [1])], [instances(region, [2])]
    head = make_head(ignore_mode=mode)
    targets = head.paint_targets(truth, [dict(img_shape=(4, 6))], ignored,
                                 torch.zeros(1, 3, 8, 8))
    valid = targets.valid
    if valid is None:
        valid = torch.ones(1, CLASSES, 8, 8, dtype=torch.bool)
    assert valid[0, :, 6, 7].unique().tolist() == [padding]
    assert valid[0, 2, 1, 1].item() == crowd
    assert valid[0, 2, 0, 0].item()  # the instance's own pixel
    assert valid[0, 1, 1, 1].item()  # another class


def test_ignored_pixels_do_not_change_the_loss():
    """The loss of a padded image is that of the image alone."""
    truth, metas = small_truth()
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 3, 8, 8, generator=generator) * .01
    maps[:, 2:] += 1
    logits = torch.randn(1, CLASSES, 8, 8, generator=generator)
    head = make_head()
    padded = head.loss_by_feat(maps, logits, truth[:1], metas[:1])
    alone = head.loss_by_feat(maps[..., :4, :6], logits[..., :4, :6],
                              truth[:1], metas[:1])
    for name in alone:
        torch.testing.assert_close(padded[name], alone[name])
    background = make_head(ignore_mode='background').loss_by_feat(
        maps, logits, truth[:1], metas[:1])
    assert background['loss_seed'] != alone['loss_seed']


def test_loss_through_mmdets_life_cycle():
    samples = fake_batch([(16, 24), (16, 24)], (3, 0), CLASSES)['data_samples']
    head = make_head(num_sigma=2)
    head.init_weights()
    losses = head.loss((torch.randn(2, 4, 8, 12), ), samples)
    assert set(losses) == {'loss_inst', 'loss_var', 'loss_seed'}
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def perfect_maps(shape=(24, 40), disks=((8, 9, 0), (12, 29, 3)), radius=7):
    """Return raw maps whose embeddings are the centres of two disks."""
    height, width = shape
    y, x = torch.meshgrid(
        torch.arange(height), torch.arange(width), indexing='ij')
    maps = torch.zeros(3, height, width)
    maps[2] = 1
    logits = torch.full((CLASSES, height, width), -9.)
    masks = []
    for row, column, label in disks:
        mask = (y - row)**2 + (x - column)**2 <= radius**2
        maps[0][mask] = torch.atanh((column - x[mask]) * PIXEL_STEPS[0])
        maps[1][mask] = torch.atanh((row - y[mask]) * PIXEL_STEPS[1])
        logits[label][mask] = 5. - label / 2
        masks.append(mask)
    return maps, logits, torch.stack(masks)


def test_predictions():
    maps, logits, masks = perfect_maps()
    pad = torch.nn.functional.pad
    head = make_head()
    found, = head.predict_by_feat(
        pad(maps, (0, 8, 0, 8))[None],
        pad(logits, (0, 8, 0, 8), value=9.)[None],  # seeds in the padding
        [dict(img_shape=(24, 40), ori_shape=(30, 50))])
    assert torch.equal(found.masks, masks)
    assert found.labels.tolist() == [0, 3]
    torch.testing.assert_close(found.scores,
                               torch.tensor([5., 3.5]).sigmoid())
    assert found.bboxes.tolist() == [[2, 1, 17, 16], [22, 5, 37, 20]]


def test_predictions_in_the_original_image():
    maps, logits, masks = perfect_maps()
    meta = dict(img_shape=(24, 40), ori_shape=(48, 120))
    found, = make_head().predict_by_feat(
        maps[None], logits[None], [meta], rescale=True)
    assert found.masks.shape == (2, 48, 120)
    for small, large in zip(masks, found.masks):
        share = large.sum() / (small.sum() * 6)
        assert .95 < share < 1.05
        assert large[1::2, 1::3][small].float().mean() > .97
    assert found.bboxes[0, 2] > 40  # in pixels of the original


def test_a_mask_that_vanishes_in_the_original_stays():
    """Nearest neighbours where the resized membership is below 0.5."""
    maps, logits, masks = perfect_maps((8, 9), [(3, 4, 1)], radius=1)
    head = make_head(test_cfg=dict(min_pixels=0))
    meta = dict(img_shape=(8, 9), ori_shape=(2, 2))
    found, = head.predict_by_feat(
        maps[None], logits[None], [meta], rescale=True)
    assert found.masks.shape == (1, 2, 2)
    nearest = masks[:, ::4, torch.tensor([0, 4])]
    assert torch.equal(found.masks, nearest)


@pytest.mark.parametrize('shape', [(1, 1), (5, 3)])
def test_nothing_found(shape):
    head = make_head()
    meta = dict(img_shape=shape, ori_shape=(7, 9))
    for rescale, size in ((False, shape), (True, (7, 9))):
        found, = head.predict_by_feat(
            torch.zeros(1, 3, 8, 8), torch.zeros(1, CLASSES, 8, 8), [meta],
            rescale=rescale)
        assert found.masks.shape == (0, *size)
        assert found.masks.dtype == torch.bool
        assert found.bboxes.shape == (0, 4)
        assert found.labels.shape == found.scores.shape == (0, )
        assert found.labels.dtype == torch.long


def test_maps_are_single_precision():
    maps = torch.zeros(4, 3, 5, dtype=torch.bfloat16)
    for part in pixel_maps(maps, torch.zeros(2, 3, 5, dtype=torch.float16)):
        assert part.dtype == torch.float32


@pytest.mark.parametrize('changes, message', [
    (dict(num_sigma=3), '`num_sigma` of SpatialEmbeddingHead'),
    (dict(overlap='first'), '`overlap` of SpatialEmbeddingHead'),
    (dict(ignore_mode='skip'), '`ignore_mode` of SpatialEmbeddingHead'),
    (dict(ignore_mode=dict(crowds='ignore')), '`ignore_mode`'),
    (dict(loss_embedding=dict(
        type='SpatialEmbeddingLoss', fg_weight=[1., 2.])), '`fg_weight`'),
])
def test_bad_arguments(changes, message):
    with pytest.raises(ValueError, match=message):
        make_head(**changes)
