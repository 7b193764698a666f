"""LVIS annotations on COCO's classes, for AP*."""
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mmdet.datasets import CocoDataset

from mmseghead.datasets.converters import (coco_categories,
                                           convert_lvis_to_coco_classes)
from mmseghead.evaluation.metrics import CocoMetric
from mmseghead.testing.paths import shared_data

ROOT = Path(__file__).parents[2]
COW, TEDDY, OTHER = 31, 5, 8


def _lvis():
    categories = [
        dict(id=TEDDY, name='teddy_bear', synset='teddy.n.01', frequency='f'),
        dict(id=OTHER, name='cassock', synset='cassock.n.01', frequency='r'),
        dict(id=COW, name='cow', synset='beef.n.01', frequency='c')
    ]
    images = [
        dict(
            id=i,
            height=9,
            width=11,
            neg_category_ids=[OTHER, COW],
            not_exhaustive_category_ids=[TEDDY]) for i in (4, 6, 9)
    ]
    pairs = [(4, COW), (4, OTHER), (6, TEDDY), (9, COW)]
    annotations = [
        dict(
            id=i,
            image_id=image,
            category_id=category,
            area=4,
            bbox=[1, 1, 2, 2],
            segmentation=[[1, 1, 3, 1, 3, 3, 1, 3]])
        for i, (image, category) in enumerate(pairs, 1)
    ]
    return dict(categories=categories, images=images, annotations=annotations)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / 'lvis.json'
    path.write_text(json.dumps(_lvis()))
    return path


def test_conversion(source, tmp_path):
    coco = tmp_path / 'coco.json'
    coco.write_text(json.dumps(dict(images=[dict(id=4), dict(id=6)])))
    target = tmp_path / 'deep' / 'out.json'
    report = convert_lvis_to_coco_classes(source, target, coco)
    result = json.loads(target.read_text())
    assert [image['id'] for image in result['images']] == [4, 6]
    assert result['images'][0]['neg_category_ids'] == [21]
    assert result['images'][0]['not_exhaustive_category_ids'] == [88]
    found = [(a['image_id'], a['category_id']) for a in result['annotations']]
    assert found == [(4, 21), (6, 88)]
    assert (report.images, report.annotations) == (2, 2)
    assert len(report.absent_classes) == 78
    assert 'cow' not in report.absent_classes
    # The metric takes it, and finds COCO's classes in COCO's order.
    metric = CocoMetric(str(target), 'segm', federated=True)
    metric.dataset_meta = CocoDataset.METAINFO


def test_ids_and_names_are_those_of_coco():
    """Against a real annotation file of COCO."""
    categories = coco_categories()
    assert len({item['synset'] for item in categories}) == 80
    path = shared_data('coco_mini') / 'train.json'
    wanted = {
        item['name']: item['id']
        for item in json.loads(path.read_text())['categories']
    }
    found = {item['name']: item['id'] for item in categories}
    assert {name: found[name] for name in wanted} == wanted


def test_bad_input(source, tmp_path):
    target = tmp_path / 'out.json'
    with pytest.raises(FileNotFoundError, match='no annotation file'):
        convert_lvis_to_coco_classes(tmp_path / 'none.json', target)
    other = tmp_path / 'other.json'
    other.write_text(json.dumps(dict(images=[dict(id=5)])))
    with pytest.raises(ValueError, match='no image in common'):
        convert_lvis_to_coco_classes(source, target, other)
    with pytest.raises(ValueError, match='must be a JSON of LVIS.*neg_cat'):
        convert_lvis_to_coco_classes(other, target)
    other.write_text('{"images": [')
    with pytest.raises(ValueError, match='must be a JSON of LVIS'):
        convert_lvis_to_coco_classes(other, target)
    assert not target.exists()


def test_tool(source, tmp_path):
    target = tmp_path / 'out.json'
    done = subprocess.run([
        sys.executable,
        str(ROOT / 'tools/dataset_converters/lvis_to_coco_classes.py'),
        str(source),
        str(target)
    ],
                          capture_output=True,
                          text=True,
                          check=True)
    assert '3 images, 3 annotations' in done.stdout
    assert 'person' in done.stdout
