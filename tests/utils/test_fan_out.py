import pytest
from mmengine.config import Config

from mmseghead.utils import fan_out_classes


def config(**extra):
    loader = dict(dataset=dict(type='D', metainfo=dict(palette=[1])))
    wrapped = dict(
        dataset=dict(type='Repeat', dataset=dict(type='D')))
    return Config(
        dict(
            model=dict(
                rpn_head=dict(type='mmdet.RPNHead', num_classes=1),
                roi_head=dict(
                    bbox_head=[
                        dict(type='A', num_classes=80),
                        dict(type='B', num_classes=80)
                    ],
                    mask_head=dict(type='C', num_classes=80))),
            train_dataloader=wrapped,
            val_dataloader=loader,
            test_dataloader=None,
            **extra))


def test_every_head_and_data_set_is_reached():
    cfg = config(classes=('cat', 'dog', 'owl'))
    fan_out_classes(cfg)
    heads = cfg.model.roi_head
    assert [h.num_classes for h in heads.bbox_head] == [3, 3]
    assert heads.mask_head.num_classes == 3
    assert cfg.model.rpn_head.num_classes == 1
    assert cfg.num_classes == 3
    names = ('cat', 'dog', 'owl')
    inner = cfg.train_dataloader.dataset.dataset
    assert tuple(inner.metainfo['classes']) == names
    outer = cfg.val_dataloader.dataset.metainfo
    assert tuple(outer['classes']) == names
    assert outer['palette'] == [1]


def test_without_classes_nothing_changes():
    cfg = config()
    before = cfg.pretty_text
    fan_out_classes(cfg)
    assert cfg.pretty_text == before


def test_twice_is_once():
    cfg = config(classes=['cat', 'dog'])
    fan_out_classes(cfg)
    before = cfg.pretty_text
    fan_out_classes(cfg)
    assert cfg.pretty_text == before


@pytest.mark.parametrize('classes, error, words', [
    ('cat', TypeError, 'needs its comma'),
    ((1, 2), TypeError, 'tuple of names'),
    ((), ValueError, 'at least one'),
    (('cat', 'cat'), ValueError, "repeated: .'cat'"),
])
def test_bad_lists_stop(classes, error, words):
    with pytest.raises(error, match=words):
        fan_out_classes(config(classes=classes))
