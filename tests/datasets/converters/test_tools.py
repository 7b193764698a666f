"""The tools, in one chain: each reads what another has written.

They run in this process: a new one would import mmdet for each of them.
"""
import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseghead.testing.coco_files import (Object, random_objects, read_objects,
                                          same_objects, write_coco)

TOOLS = Path(__file__).resolve().parents[3] / 'tools/dataset_converters'


@pytest.fixture
def run(monkeypatch, capsys):

    def call(name, *args):
        monkeypatch.setattr(sys, 'argv', [name, *map(str, args)])
        runpy.run_path(str(TOOLS / f'{name}.py'), run_name='__main__')
        return capsys.readouterr().out

    return call


@pytest.fixture
def source(tmp_path):
    size = 31, 42
    return write_coco(
        tmp_path / 'coco', {
            f'{i}.png': (size, random_objects(i, size, 4, overlap=False))
            for i in range(3)
        })


def _same(a, b):
    before, after = read_objects(a), read_objects(b)
    assert before.keys() == after.keys()
    return all(same_objects(before[name], after[name]) for name in before)


def test_round_trips(run, source, tmp_path):
    images, back = source.parent / 'images', tmp_path / 'back.json'
    count = sum(map(len, read_objects(source).values()))
    classes = tmp_path / 'classes.txt'
    classes.write_text('bolt\nnut\nscrew\n')
    out = run('coco_to_labelme', source, images, tmp_path / 'labelme')
    assert f'3 images, {count} instances\nnothing lost' in out
    run('labelme_to_coco', tmp_path / 'labelme', back, '--image-dir', images,
        '--classes', classes)
    assert _same(source, back)
    run('coco_to_png', source, tmp_path / 'png')
    run('png_to_coco', images, tmp_path / 'png', back)
    assert _same(source, back)
    out = run('coco_to_yolo', tmp_path / 'yolo', '--split', 'train', source,
              images, '--split', 'val', source, images)
    assert f'6 images, {2 * count} instances' in out
    out = run('yolo_to_coco', tmp_path / 'yolo/data.yaml', back, '--split',
              'val')
    assert f'image folder: {tmp_path / "yolo/images/val"}' in out
    assert _same(source, back)


def test_predictions(run, source, tmp_path):
    data = json.loads(source.read_text())
    results = tmp_path / 'results.json'
    results.write_text(
        json.dumps([
            dict(
                image_id=a['image_id'],
                category_id=a['category_id'],
                score=0.1 + 0.8 * (i == 0),
                segmentation=a['segmentation'])
            for i, a in enumerate(data['annotations'])
        ]))
    options = ['--results', results, '--score-thr', 0.5]
    images = source.parent / 'images'
    for name, args in (
        ('coco_to_labelme', [source, images, tmp_path / 'a']),
        ('coco_to_png', [source, tmp_path / 'b']),
        ('coco_to_yolo', [tmp_path / 'c', '--split', 'val', source, images]),
    ):
        assert '3 images, 1 instances' in run(name, *args, *options)


def test_via_and_cityscapes(run, tmp_path):
    (tmp_path / 'i').mkdir()
    cv2.imwrite(str(tmp_path / 'i/a.png'), np.zeros((25, 64), np.uint8))
    shape = dict(name='rect', x=12, y=3, width=6, height=4)
    region = dict(
        shape_attributes=shape, region_attributes=dict(kind='bolt', size='m'))
    (tmp_path / 'via.json').write_text(
        json.dumps(dict(a=dict(filename='a.png', regions=[region]))))
    out = run('via_to_coco', tmp_path / 'via.json', tmp_path / 'i',
              tmp_path / 'v.json', '--attribute', 'kind')
    assert '1 images, 1 instances' in out
    for path, shape in (('leftImg8bit/val/x/y_leftImg8bit.png', (9, 13, 3)),
                        ('gtFine/val/x/y_gtFine_instanceIds.png', (9, 13))):
        path = tmp_path / path
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), np.full(shape, 26000, np.uint16)
                    if len(shape) == 2 else np.zeros(shape, np.uint8))
    out = run('cityscapes_to_coco', tmp_path, '--splits', 'val')
    assert 'val:\n1 images, 1 instances' in out
    (item, ), = read_objects(
        tmp_path / 'annotations/instancesonly_filtered_gtFine_val.json'
    ).values()
    assert same_objects([item], [Object(2, np.ones((9, 13), dtype=bool))])


def test_errors_are_one_message(run, source, tmp_path):
    source.write_text(source.read_text()[:50])
    with pytest.raises(SystemExit, match='error: .*ann.json is no valid JSON'):
        run('coco_to_png', source, tmp_path / 'png')
    with pytest.raises(SystemExit, match='error: There is no file .*none'):
        run('coco_to_png', tmp_path / 'none', tmp_path / 'png')
    (tmp_path / 'classes.txt').write_text('a\na\n')
    with pytest.raises(SystemExit, match='2'):
        run('yolo_to_coco', tmp_path, tmp_path / 'x.json', '--classes',
            tmp_path / 'classes.txt')
    split = ['--split', 'a', source, source.parent]
    for args in ([*split, *split], ['--results', source, *split, '--split',
                                    'b', source, source.parent]):
        with pytest.raises(SystemExit, match='2'):
            run('coco_to_yolo', tmp_path / 'y', *args)
    assert not (tmp_path / 'png').exists() and not (tmp_path / 'y').exists()
