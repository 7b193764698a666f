"""Data sets stop on missing files, swapped classes and empty filters."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.datasets import CityscapesDataset, CocoDataset, LVISV1Dataset
from mmengine.config import Config

from mmseghead.datasets import (CityscapesInstanceDataset, InstanceDataset,
                                LVISInstanceDataset, NucleiDataset,
                                ShapesDataset, generate_shapes)
from mmseghead.registry import DATASETS
from mmseghead.testing.paths import shared_data
from mmseghead.utils import register_all_modules

CLASSES = ('cat', 'dog', 'Tapir')


def _write(folder, categories=CLASSES, images=((40, 56), (64, 48)),
           annotated=(1, ), **annotation):
    """Write a data set; image ids count from 1."""
    (folder / 'pictures').mkdir(parents=True, exist_ok=True)
    for index, shape in enumerate(images, 1):
        cv2.imwrite(
            str(folder / f'pictures/{index}.png'),
            np.zeros((*shape, 3), np.uint8))
    square = [[4.0, 5.0, 14.0, 5.0, 14.0, 17.0, 4.0, 17.0]]
    content = dict(
        images=[
            dict(id=i, file_name=f'{i}.png', height=h, width=w)
            for i, (h, w) in enumerate(images, 1)
        ],
        annotations=[
            dict(
                id=i, image_id=i, category_id=30, iscrowd=0, area=120.0,
                bbox=[4.0, 5.0, 10.0, 12.0], segmentation=square,
                **annotation) for i in annotated
        ],
        categories=[
            dict(id=10 * i, name=name) for i, name in enumerate(categories, 1)
        ])
    (folder / 'ann.json').write_text(json.dumps(content))
    return folder


def _load(folder, classes=CLASSES, cls=InstanceDataset, **kwargs):
    return cls(
        data_root=str(folder),
        ann_file='ann.json',
        data_prefix=dict(img='pictures'),
        metainfo=dict(classes=classes),
        **kwargs)


def test_agreeing_classes_load(tmp_path):
    dataset = _load(_write(tmp_path))
    assert len(dataset) == 2
    assert dataset.get_data_info(0)['instances'][0]['bbox_label'] == 2


def test_list_is_as_good_as_tuple(tmp_path):
    assert len(_load(_write(tmp_path), list(CLASSES))) == 2


def test_swapped_order_is_shown(tmp_path):
    _write(tmp_path, ('dog', 'cat', 'Tapir'))
    with pytest.raises(ValueError) as caught:
        _load(tmp_path)
    message = str(caught.value)
    assert 'only their order differs' in message
    assert "classes = ('dog', 'cat', 'Tapir')" in message
    lines = message.splitlines()
    assert [line.split() for line in lines if line.startswith('      ')] == [
        ['0', '!', 'cat', 'dog'], ['1', '!', 'dog', 'cat'],
        ['2', 'Tapir', 'Tapir']]


@pytest.mark.parametrize('categories, hint', [
    (('cat', 'dog'), 'config has 3, file has 2; 1 rows differ'),
    (('cat', 'dog', 'Tapir', 'emu'), 'config has 3, file has 4'),
    (('cat', 'dog', 'tapir'), "Did you mean 'tapir' for 'Tapir'?"),
    (('cat', 'dogs', 'Tapir'), "Did you mean 'dogs' for 'dog'?"),
])
def test_other_differences_are_shown(tmp_path, categories, hint):
    with pytest.raises(ValueError, match='must equal the categories') as e:
        _load(_write(tmp_path, categories, annotated=()))
    assert hint in str(e.value)


def test_long_lists_show_differences_only(tmp_path):
    names = [f'name{i:03d}' for i in range(200)]
    wrong = names[:100] + ['odd'] + names[101:]
    with pytest.raises(ValueError) as caught:
        _load(_write(tmp_path, names), wrong)
    message = str(caught.value)
    assert '1 rows differ' in message and len(message.splitlines()) < 8
    assert ['100', '!', 'odd', 'name100'
            ] in [line.split() for line in message.splitlines()]


def test_string_for_a_tuple(tmp_path):
    with pytest.raises(TypeError, match=r"classes=\('cat', \)"):
        _load(_write(tmp_path, ('cat', )), 'cat')


def test_repeated_name(tmp_path):
    with pytest.raises(ValueError, match=r"more than once: \['cat'\]"):
        _load(_write(tmp_path, ('cat', 'cat')), ('cat', 'cat'))


def test_classes_come_before_the_empty_filter(tmp_path):
    """Upstream fails on the consequence, not the cause."""
    _write(tmp_path)
    with pytest.raises(ValueError, match='must equal the categories'):
        _load(tmp_path, ('x', 'y', 'z'),
              filter_cfg=dict(filter_empty_gt=True))


@pytest.mark.parametrize('filter_cfg, fact', [
    (dict(filter_empty_gt=True, min_size=0), '2 images, 0 have instances'),
    (dict(min_size=49), 'shorter side is 48 px'),
])
def test_empty_filter_is_named(tmp_path, filter_cfg, fact):
    _write(tmp_path, annotated=())
    with pytest.raises(ValueError, match='removed every image') as caught:
        _load(tmp_path, filter_cfg=filter_cfg)
    assert fact in str(caught.value)
    assert str(filter_cfg) in str(caught.value)


def test_file_without_images(tmp_path):
    with pytest.raises(ValueError, match='`images` must not be empty'):
        _load(_write(tmp_path, images=(), annotated=()))


def test_missing_files_name_the_config_key(tmp_path):
    with pytest.raises(FileNotFoundError, match='`ann_file`.*docs/data.md'):
        _load(tmp_path)
    _write(tmp_path)
    (tmp_path / 'pictures').rename(tmp_path / 'photos')
    with pytest.raises(FileNotFoundError, match='`data_prefix.img`'):
        _load(tmp_path)
    (tmp_path / 'photos').rename(tmp_path / 'pictures')
    (tmp_path / 'pictures/1.png').unlink()
    with pytest.raises(FileNotFoundError, match='1.png'):
        _load(tmp_path)


@pytest.mark.parametrize('cls, command', [
    (ShapesDataset, 'make_shapes.py'),
    (NucleiDataset, 'dsb2018_to_coco.py'),
])
def test_missing_data_says_how_to_get_it(tmp_path, cls, command):
    with pytest.raises(FileNotFoundError, match=command):
        cls(data_root=str(tmp_path), ann_file='train.json')


def test_lazy_data_set_checks_when_it_loads(tmp_path):
    dataset = _load(_write(tmp_path, ('a', 'b', 'c')), lazy_init=True)
    with pytest.raises(ValueError, match='must equal the categories'):
        dataset.full_init()


def test_lvis_needs_no_lvis_package(tmp_path):
    _write(tmp_path / 'train2017')
    path = tmp_path / 'train2017/ann.json'
    content = json.loads(path.read_text())
    for image in content['images']:
        name = image.pop('file_name')
        image['coco_url'] = (
            f'http://images.cocodataset.org/train2017/pictures/{name}')
    (tmp_path / 'ann.json').write_text(json.dumps(content))

    def load(**kwargs):
        return LVISInstanceDataset(
            data_root=str(tmp_path), ann_file='ann.json',
            data_prefix=dict(img=''), **kwargs)

    dataset = load(metainfo=dict(classes=CLASSES))
    assert dataset.get_data_info(1)['img_path'] == str(
        tmp_path / 'train2017/pictures/2.png')
    with pytest.raises(ValueError, match='config has 1203, file has 3'):
        load()


def test_cityscapes_drops_images_of_crowds_only(tmp_path):
    _write(tmp_path, annotated=(1, 2))
    content = json.loads((tmp_path / 'ann.json').read_text())
    content['annotations'][0]['iscrowd'] = 1
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    kwargs = dict(filter_cfg=dict(filter_empty_gt=True))
    assert len(_load(tmp_path, **kwargs)) == 2
    assert len(
        _load(tmp_path, cls=CityscapesInstanceDataset, **kwargs)) == 1


@pytest.mark.parametrize('ours, upstream', [
    (InstanceDataset, CocoDataset),
    (LVISInstanceDataset, LVISV1Dataset),
    (CityscapesInstanceDataset, CityscapesDataset),
])
def test_classes_are_upstreams(ours, upstream):
    assert ours.METAINFO['classes'] == upstream.METAINFO['classes']


@pytest.fixture(scope='module')
def shapes_root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'shapes'
    generate_shapes(folder, 6, 2, image_size=64)
    return folder


def _base_config(name):
    root = Path(__file__).parents[2]
    return Config.fromfile(
        root / f'configs/_base_/datasets/{name}_instance.py')


def _at_root(config, root):
    for mode in ('train', 'val', 'test'):
        config[f'{mode}_dataloader'].dataset.data_root = str(root)
    return config


def test_shapes_config_gives_samples(shapes_root):
    register_all_modules()
    config = _at_root(_base_config('shapes'), shapes_root)
    dataset = DATASETS.build(config.train_dataloader.dataset)
    assert len(dataset) == 6
    raw = json.loads((shapes_root / 'train.json').read_text())
    areas = [a['area'] for a in raw['annotations'] if a['image_id'] == 1]
    sample = dataset[0]
    assert sample['inputs'].shape == (3, 256, 256)
    masks = sample['data_samples'].gt_instances.masks
    assert masks.masks.shape == (len(areas), 256, 256)
    # Resized from 64 to 256 pixels, so 16 times the area.
    assert masks.areas == pytest.approx(np.array(areas) * 16, rel=0.2, abs=99)

    sample = DATASETS.build(config.val_dataloader.dataset)[1]
    sample = sample['data_samples']
    assert sample.ori_shape == (64, 64) and sample.img_shape == (256, 256)
    assert sample.gt_instances.masks.masks.shape[1:] == (64, 64)


def test_rle_holes_survive_loading(shapes_root):
    """Masks from RLE are loaded as they are, holes included."""
    register_all_modules()
    config = _at_root(_base_config('shapes'), shapes_root)
    dataset = DATASETS.build(config.val_dataloader.dataset)
    raw = json.loads((shapes_root / 'val.json').read_text())
    for index in range(2):
        loaded = dataset[index]['data_samples'].gt_instances.masks
        areas = [
            a['area'] for a in raw['annotations'] if a['image_id'] == index + 1
        ]
        assert loaded.areas.tolist() == areas


def test_nuclei_config_reads_the_real_data():
    root = shared_data('nuclei')
    if root is None:
        pytest.skip('shared/data/nuclei is absent')
    register_all_modules()
    config = _at_root(_base_config('nuclei'), root)
    train = DATASETS.build(config.train_dataloader.dataset)
    val = DATASETS.build(config.val_dataloader.dataset)
    assert (len(train), len(val)) == (240, 80)
    shapes = set()
    for index in range(0, 80, 5):
        sample = val[index]
        shapes.add(tuple(sample['inputs'].shape[1:]))
        assert sample['data_samples'].img_shape == sample[
            'data_samples'].ori_shape
    assert shapes == {(256, 256), (256, 320)}


def test_real_coco_passes():
    root = shared_data('coco_mini')
    if root is None:
        pytest.skip('shared/data/coco_mini is absent')
    config = _base_config('coco')
    assert config.classes == CocoDataset.METAINFO['classes']
    dataset = InstanceDataset(
        data_root=str(root), ann_file='train.json',
        data_prefix=dict(img='train/'), metainfo=config.metainfo)
    assert len(dataset) == 100
    wrong = list(config.classes)
    wrong[3], wrong[4] = wrong[4], wrong[3]
    with pytest.raises(ValueError, match='2 rows differ'):
        InstanceDataset(
            data_root=str(root), ann_file='train.json',
            data_prefix=dict(img='train/'), metainfo=dict(classes=wrong))


@pytest.mark.parametrize(
    'name, count', [('coco', 80), ('lvis_v1', 1203), ('cityscapes', 8),
                    ('shapes', 6), ('nuclei', 1)])
def test_base_configs_agree_with_themselves(name, count):
    config = _base_config(name)
    assert config.num_classes == count
    dataset = config.train_dataloader.dataset
    dataset = dataset.get('dataset', dataset)
    metainfo = dataset.get('metainfo', DATASETS.get(dataset.type).METAINFO)
    assert len(metainfo['classes']) == count
    evaluators = config.val_evaluator
    if not isinstance(evaluators, list):
        evaluators = [evaluators]
    val = config.val_dataloader.dataset
    assert evaluators[0].ann_file == val.data_root + val.ann_file
    assert config.test_evaluator == config.val_evaluator
    assert config.test_dataloader == config.val_dataloader
    again = Config.fromstring(config.pretty_text, '.py')
    assert again.to_dict() == config.to_dict()


@pytest.mark.parametrize(
    'name', ['coco', 'lvis_v1', 'cityscapes', 'shapes', 'nuclei'])
def test_base_configs_name_scopes(name):
    """Only mmengine's own parts and ours are named without a scope."""
    types = set()

    def visit(node):
        if isinstance(node, dict):
            if 'type' in node:
                types.add(node['type'])
            for child in node.values():
                visit(child)
        elif isinstance(node, (list, tuple)):
            for child in node:
                visit(child)

    visit(_base_config(name).to_dict())
    bare = {kind for kind in types if '.' not in kind}
    assert bare <= {
        'DefaultSampler', 'RepeatDataset', 'CocoMetric', 'InstanceDataset',
        'LVISInstanceDataset', 'CityscapesInstanceDataset', 'ShapesDataset',
        'NucleiDataset'
    }


def test_what_is_left_out_is_counted(tmp_path):
    _write(tmp_path, images=((40, 56), (64, 48), (31, 90)), annotated=(1, 3))
    dataset = _load(
        tmp_path, filter_cfg=dict(filter_empty_gt=True, min_size=32))
    assert dataset.dropped == (3, 2, 1, 1, 0)
    assert dataset.dropped.kept == 1 == len(dataset)
    dataset = _load(
        tmp_path, test_mode=True,
        filter_cfg=dict(filter_empty_gt=True, min_size=32))
    assert dataset.dropped == (3, 2, 0, 0, 0)


def test_ignored_boxes_are_counted(tmp_path):
    dataset = _load(_write(tmp_path, annotated=(1, 2), ignore=1))
    assert dataset.dropped == (2, 2, 0, 0, 2)


@pytest.mark.parametrize('change, message', [
    (dict(bbox=[4.0, 5.0, float('nan'), 3.0]), 'annotation 1: `bbox`'),
    (dict(category_id=31), 'annotation 1: `category_id`'),
    (dict(image_id=7), 'annotation 1: `image_id`'),
    (dict(segmentation=dict(size=[9, 8], counts=[72])), 'annotation 1'),
])
def test_broken_annotation_stops(tmp_path, change, message):
    path = _write(tmp_path) / 'ann.json'
    content = json.loads(path.read_text())
    content['annotations'][0].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match='ann.json has 1 error') as caught:
        _load(tmp_path)
    assert message in str(caught.value)


def test_truncated_json_stops(tmp_path):
    path = _write(tmp_path) / 'ann.json'
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ValueError, match='ann.json is no valid JSON: line 1'):
        _load(tmp_path)


def test_category_ids_may_be_0_and_have_gaps(tmp_path):
    path = _write(tmp_path) / 'ann.json'
    content = json.loads(path.read_text())
    for category, number in zip(content['categories'], (0, 7, 90)):
        category['id'] = number
    content['annotations'][0]['category_id'] = 90
    path.write_text(json.dumps(content))
    dataset = _load(tmp_path)
    assert dataset.get_data_info(0)['instances'][0]['bbox_label'] == 2


def test_box_without_area_is_left_out_and_counted(tmp_path):
    path = _write(tmp_path) / 'ann.json'
    content = json.loads(path.read_text())
    content['annotations'][0].update(bbox=[4.0, 5.0, 0.0, 12.0])
    path.write_text(json.dumps(content))
    dataset = _load(tmp_path)
    assert dataset.dropped.boxes == 1
    assert dataset.get_data_info(0)['instances'] == []
