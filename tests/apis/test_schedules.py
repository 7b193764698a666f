"""Schedules keep their shape on other amounts of data."""
import pytest
from mmengine.config import Config

from mmseghead.apis.schedules import read_schedule, scale_schedule


@pytest.fixture(scope='module')
def quick(repository):
    return read_schedule(Config.fromfile(
        repository / 'configs/mask_rcnn/mask-rcnn_quick_nuclei.py'))


@pytest.fixture(scope='module')
def coco(repository):
    return read_schedule(Config.fromfile(
        repository / 'configs/mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'))


def test_reads_both_kinds(quick, coco):
    assert (quick.total, quick.by_epoch, quick.batch_size) == (360, False, 4)
    assert quick.images_seen == 1440
    assert (coco.total, coco.by_epoch, coco.batch_size) == (12, True, 2)
    assert (coco.base_batch_size, coco.lr) == (16, 0.02)


@pytest.mark.parametrize('images, steps', [
    (240, 360),  # as the recipe's own data
    (7, 360),  # few images are seen more often
    (1000, 1500),  # six times each
])
def test_quick_recipe(quick, images, steps):
    scaled = scale_schedule(quick, images)
    assert (scaled.total, scaled.batch_size, scaled.lr) == (steps, 4, 0.001)
    assert scaled.epochs == pytest.approx(steps * 4 / images)


def test_coco_recipe_on_a_small_set(coco):
    scaled = scale_schedule(coco, 300, batch_size=4)
    assert scaled.total == 4000  # 16,000 images seen, not 1.4 million
    assert scaled.lr == pytest.approx(0.02 * 4 / 16)  # SGD: in proportion
    warmup, steps = scaled.schedulers
    assert (warmup['end'], warmup['by_epoch']) == (400, False)
    assert steps['milestones'] == [round(4000 * 8 / 12), round(4000 * 11 / 12)]
    assert (steps['begin'], steps['end']) == (0, 4000)


def test_coco_recipe_on_a_large_set(coco):
    scaled = scale_schedule(coco, 50_000, batch_size=16)
    assert scaled.total == 12 * 50_000 // 16
    assert scaled.schedulers[0]['end'] == 500  # the warm-up as it was


def test_adam_scales_with_the_root(quick):
    assert scale_schedule(quick, 240, batch_size=16).lr == 0.002


def test_epochs_by_hand(quick):
    scaled = scale_schedule(quick, 70, batch_size=2, epochs=2.5)
    assert scaled.total == 88
    warmup, cosine = scaled.schedulers
    assert warmup['end'] == cosine['begin'] == round(20 * 88 / 360)
    assert cosine['end'] == 88


def test_settings_validate_ten_times(quick):
    settings = scale_schedule(quick, 240).settings('coco/segm_mAP')
    assert settings['train_cfg']['max_iters'] == 360
    assert settings['train_cfg']['val_interval'] == 36
    hook = settings['default_hooks']['checkpoint']
    assert (hook['interval'], hook['save_best']) == (36, 'coco/segm_mAP')
