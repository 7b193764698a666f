"""Real annotations through every round trip; docs/convert.md has the figures.
"""
import numpy as np
import pytest

from mmseghead.datasets.coco_json import read_json
from mmseghead.datasets.converters import (YoloSplit, coco_to_labelme,
                                           coco_to_png, coco_to_yolo,
                                           labelme_to_coco, png_to_coco,
                                           yolo_to_coco)
from mmseghead.testing.coco_files import read_objects, same_objects
from mmseghead.testing.paths import shared_data

SETS = [('nuclei', 'val', 2429), ('coco_mini', 'train', 746)]


@pytest.fixture(params=SETS, ids=[name for name, *_ in SETS])
def real(request):
    name, split, count = request.param
    folder = shared_data(name)
    if folder is None:
        pytest.skip(f'shared/data/{name} is absent')
    return folder / f'{split}.json', folder / split, count


def _same(ann_file, back):
    before, after = read_objects(ann_file), read_objects(back)
    names = {name for name, objects in before.items() if objects}
    assert names == {name for name, objects in after.items() if objects}
    return all(same_objects(before[n], after[n]) for n in names)


def _names(ann_file):
    return [c['name'] for c in read_json(ann_file)['categories']]


def test_labelme(real, tmp_path):
    ann_file, images, count = real
    report = coco_to_labelme(ann_file, images, tmp_path / 'labelme')
    assert (report.losses, report.instances) == ({}, count)
    labelme_to_coco(
        tmp_path / 'labelme',
        tmp_path / 'back.json',
        classes=_names(ann_file),
        image_dir=images)
    assert _same(ann_file, tmp_path / 'back.json')


def test_yolo(real, tmp_path):
    ann_file, images, count = real
    report = coco_to_yolo(
        dict(train=YoloSplit(ann_file, images)), tmp_path / 'yolo')
    assert (report.losses, report.instances) == ({}, count)
    yolo_to_coco(tmp_path / 'yolo/data.yaml', tmp_path / 'back.json')
    assert _same(ann_file, tmp_path / 'back.json')


def test_png(real, tmp_path):
    ann_file, images, count = real
    report = coco_to_png(ann_file, tmp_path / 'png')
    back = png_to_coco(images, tmp_path / 'png', tmp_path / 'back.json')
    if not report.losses:
        assert _same(ann_file, tmp_path / 'back.json')
        return
    # People on sofas: COCO's masks overlap. No instance is hidden.
    assert set(report.losses) == {'overlaps'} and back.instances == count
    before, after = read_objects(ann_file), read_objects(
        tmp_path / 'back.json')
    ious = [(a.mask & b.mask).sum() / (a.mask | b.mask).sum()
            for name, objects in before.items()
            for a, b in zip(objects, after[name])]
    assert np.mean(ious) == pytest.approx(report.mean_iou)
    assert sum(iou < 1 for iou in ious) == len(report.losses['overlaps'])
    assert report.mean_iou > 0.99
