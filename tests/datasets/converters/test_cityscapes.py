"""Cityscapes' folders to COCO JSON."""
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image, ImageDraw

from mmseghead.datasets.coco_json import read_coco
from mmseghead.datasets.converters import cityscapes_to_coco

ROOT = Path(__file__).resolve().parents[3]

SIZE = 24, 50
# What the painting order decides: a pole over a car, a car over a rider.
OBJECTS = [
    ('road', [[0, 12], [49, 12], [49, 23], [0, 23]]),
    ('rider', [[2, 3], [12, 3], [12, 13], [2, 13]]),
    ('car', [[8, 8], [30, 8], [30, 18], [8, 18]]),
    ('pole', [[20, 0], [22, 0], [22, 23], [20, 23]]),
    ('license plate', [[10, 10], [14, 10], [14, 12], [10, 12]]),
    ('car', [[33, 5], [47, 9], [36, 20]]),
    ('persongroup', [[1, 16], [5, 16], [5, 21], [1, 21]]),
    ('caravan', [[40, 1], [46, 1], [46, 4], [40, 4]]),
]
IDS = dict(road=7, rider=25000, pole=17, persongroup=24, caravan=29000)


def _painted():
    """Return (H, W) ids, as cityscapesScripts paints them."""
    image = Image.new('I', SIZE[::-1], 0)
    cars = 0
    for label, polygon in OBJECTS:
        value = IDS.get(label)
        if label == 'car':
            value = 26000 + cars
            cars += 1
        if value is not None:
            ImageDraw.Draw(image).polygon([tuple(p) for p in polygon],
                                          fill=value)
    return np.array(image)


def _write(root, split='val'):
    stem = 'aachen/aachen_000000_000019'
    image = root / f'leftImg8bit/{split}/{stem}_leftImg8bit.png'
    fine = root / f'gtFine/{split}/{stem}_gtFine_'
    image.parent.mkdir(parents=True)
    fine.parent.mkdir(parents=True)
    cv2.imwrite(str(image), np.zeros((*SIZE, 3), np.uint8))
    ids = _painted().astype(np.uint16)
    cv2.imwrite(f'{fine}instanceIds.png', ids)
    content = dict(
        imgHeight=SIZE[0],
        imgWidth=SIZE[1],
        objects=[dict(label=name, polygon=p) for name, p in OBJECTS] +
        [dict(label='car', polygon=[[0, 0], [9, 0], [9, 9]], deleted=1)])
    polygons = Path(f'{fine}polygons.json')
    polygons.write_text(json.dumps(content))
    return image, Path(f'{fine}instanceIds.png'), polygons, ids


@pytest.mark.parametrize('source', ['png', 'polygons'])
def test_both_sources_give_the_painted_ids(tmp_path, source):
    *_, ids = _write(tmp_path)
    report = cityscapes_to_coco(tmp_path, 'val', source=source)
    path = tmp_path / \
        'annotations/instancesonly_filtered_gtFine_val.json'
    data = read_coco(path)
    assert data['images'] == [
        dict(
            id=1,
            file_name='aachen/aachen_000000_000019_leftImg8bit.png',
            height=24,
            width=50)
    ]
    assert [c['name'] for c in data['categories']] == [
        'person', 'rider', 'car', 'truck', 'bus', 'train', 'motorcycle',
        'bicycle'
    ]
    assert [(a['category_id'], a['iscrowd'], a['area'])
            for a in data['annotations']] == [
                (1, 1, (ids == 24).sum()), (2, 0, (ids == 25000).sum()),
                (3, 0, (ids == 26000).sum()), (3, 0, (ids == 26001).sum())
            ]
    assert report.losses == {} and report.instances == 4
    assert report.image_dir == str(tmp_path / 'leftImg8bit/val')


def test_the_config_finds_what_is_written(tmp_path):
    config = Config.fromfile(
        ROOT / 'configs/_base_/datasets/cityscapes_instance.py')
    for split in ('train', 'val'):
        _write(tmp_path, split)
        cityscapes_to_coco(tmp_path, split)
        assert (tmp_path / config[f'{split}_ann']).is_file()
    data = config.val_dataloader.dataset
    entry = read_coco(tmp_path / config.val_ann)['images'][0]
    assert (tmp_path / data.data_prefix.img / entry['file_name']).is_file()
    names = [
        c['name'] for c in read_coco(tmp_path / config.val_ann)['categories']
    ]
    assert tuple(names) == tuple(config.classes)


def test_bad_files_are_named_and_nothing_is_written(tmp_path):
    image, ids, polygons, _ = _write(tmp_path)
    content = json.loads(polygons.read_text())

    def damage(**changes):
        objects = [dict(content['objects'][1], **changes)]
        polygons.write_text(json.dumps(dict(content, objects=objects)))
        cityscapes_to_coco(tmp_path, 'val', source='polygons')

    with pytest.raises(ValueError, match="polygons.json: object 0: the class "
                       "must .*got 'ridr'. Did you mean 'rider'"):
        damage(label='ridr')
    with pytest.raises(ValueError, match='object 0 must have a `label`'):
        damage(label=None)
    with pytest.raises(ValueError, match='object 0: `polygon` must be at lea'):
        damage(polygon=[[1, 2], [3, 4]])
    with pytest.raises(ValueError, match='object 0: `polygon` must be'):
        damage(polygon=[[1, 2], [3, 4], [5, float('nan')]])
    polygons.write_text(json.dumps(dict(content, imgWidth=51)))
    with pytest.raises(ValueError, match='polygons.json must be for an image '
                       'of 50 x 24 px, but is for 51 x 24'):
        cityscapes_to_coco(tmp_path, 'val', source='polygons')
    polygons.write_text('[]')
    with pytest.raises(ValueError, match='must hold an object with `objects`'):
        cityscapes_to_coco(tmp_path, 'val', source='polygons')
    cv2.imwrite(str(ids), np.zeros((9, 9), np.uint16))
    with pytest.raises(ValueError, match='instanceIds.png must have the size'):
        cityscapes_to_coco(tmp_path, 'val')
    image.unlink()
    with pytest.raises(FileNotFoundError, match='There is no image .*leftImg'):
        cityscapes_to_coco(tmp_path, 'val')
    with pytest.raises(FileNotFoundError, match='gtFine/train must hold'):
        cityscapes_to_coco(tmp_path, 'train')
    with pytest.raises(ValueError, match='`source` of cityscapes_to_coco'):
        cityscapes_to_coco(tmp_path, 'val', source='json')
    assert not (tmp_path / 'annotations').exists()
