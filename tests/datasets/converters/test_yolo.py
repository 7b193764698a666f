"""COCO JSON and YOLO-seg's label files."""
import json

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_api

from mmseghead.datasets.coco_json import read_coco
from mmseghead.datasets.converters import YoloSplit, coco_to_yolo, yolo_to_coco
from mmseghead.testing.coco_files import (Object, random_objects, read_objects,
                                          same_objects, write_coco)


def _write(folder, labels, names=('bolt', 'nut'), size=(20, 50)):
    """Write images and labels of the split `train`, and data.yaml."""
    for name, text in labels.items():
        image = folder / f'images/train/{name}.jpg'
        label = folder / f'labels/train/{name}.txt'
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), np.zeros(size, np.uint8))
        if text is not None:
            label.write_text(text)
    path = folder / 'data.yaml'
    path.write_text(
        yaml.safe_dump(
            dict(train='images/train', names=dict(enumerate(names)))))
    return path


SQUARE = '1 0.1 0.2 0.3 0.2 0.3 0.45 0.1 0.45\n'


def test_golden_labels(tmp_path):
    # A square, a triangle, and a ring: out, bridge, hole, bridge.
    ring = ('0 .6 .1 .9 .1 .9 .6 .6 .6 .6 .1 .7 .2 .7 .4 .8 .4 .8 .2 .7 .2 '
            '.6 .1\n')
    path = _write(
        tmp_path, {
            'a': f'{SQUARE}\n0.0 0 0 0.2 0 0 1\n{ring}',
            'b': '',
            'c': None
        })
    report = yolo_to_coco(path, tmp_path / 'out.json')
    data = read_coco(tmp_path / 'out.json')
    assert data['categories'] == [
        dict(id=1, name='bolt'), dict(id=2, name='nut')
    ]
    assert data['images'][0] == dict(
        id=1, file_name='a.jpg', height=20, width=50)
    square, triangle, ring = data['annotations']
    assert square['category_id'] == 2 and triangle['category_id'] == 1
    assert square['segmentation'] == [[5, 4, 15, 4, 15, 9, 5, 9]]
    assert (square['area'], square['bbox']) == (50, [5, 4, 10, 5])
    assert triangle['segmentation'] == [[0, 0, 10, 0, 0, 20]]
    assert ring['area'] == 15 * 10 - 5 * 4
    assert report.image_dir == str(tmp_path / 'images/train')
    assert [n.rsplit('/', 1)[1] for n in report.losses['no_labels']
            ] == ['b.jpg', 'c.jpg']
    assert (report.images, report.instances) == (3, 3)


@pytest.mark.parametrize('line, match', [
    ('2 0 0 1 0 1 1', r"the class must be an int from 0 to 1, got '2'"),
    ('0.5 0 0 1 0 1 1', "the class must be an int from 0 to 1, got '0.5'"),
    ('nut 0 0 1 0 1 1', "the class must be an int from 0 to 1, got 'nut'"),
    ('-1 0 0 1 0 1 1', "the class must be an int from 0 to 1, got '-1'"),
    ('1 0 0 1 0 1 1 .5', 'at least 3 points x y, got 7 numbers'),
    ('1 0 0', 'at least 3 points x y, got 2 numbers'),
    ('1', 'at least 3 points x y, got 0 numbers'),
    ('1 .5 .5 .2 .2', r'holds a box \(4 numbers\), not an outline'),
    ('1 0 0 1 0 1 nan', 'coordinates must be finite, got nan'),
    ('1 0 0 1 0 1 x', 'coordinates must be numbers: .*x'),
    ('1 0 0 134 0 1 1', 'from 0 to 1 .*got 134'),
    ('1 0 0 1 -.2 1 1', 'from 0 to 1 .*got -.2'),
])
def test_bad_lines_are_named_and_nothing_is_written(tmp_path, line, match):
    path = _write(tmp_path, {'a': SQUARE, 'b': f'{SQUARE}\n{line}\n'})
    with pytest.raises(ValueError, match=f'train/b.txt, line 3.*{match}'):
        yolo_to_coco(path, tmp_path / 'out.json')
    assert not (tmp_path / 'out.json').exists()


def test_bad_files(tmp_path):
    path = _write(tmp_path, {'a': SQUARE, 'b': SQUARE})
    target = tmp_path / 'out.json'
    (tmp_path / 'images/train/b.jpg').unlink()
    with pytest.raises(ValueError, match='1 label files have no image .*b.tx'):
        yolo_to_coco(path, target)
    (tmp_path / 'labels/train/b.txt').unlink()
    (tmp_path / 'labels/train/a.txt').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='a.txt must be text'):
        yolo_to_coco(path, target)
    (tmp_path / 'images/train/a.jpg').write_bytes(b'\xff\xd8')
    with pytest.raises(ValueError, match='a.jpg cannot be read as an image'):
        yolo_to_coco(path, target)
    with pytest.raises(FileNotFoundError, match='no file or folder .*none'):
        yolo_to_coco(tmp_path / 'none.yaml', target)
    with pytest.raises(FileNotFoundError, match='has no images/'):
        yolo_to_coco(tmp_path / 'images', target)
    assert not target.exists()


@pytest.mark.parametrize('content, match', [
    ('names: [a\n', 'no valid YAML'),
    ('- 1\n', 'must hold keys'),
    ('train: images/train\n', '`names` must list the classes'),
    ('train: images/train\nnames: {0: a, 2: b}\n', 'without gaps'),
    ('train: images/train\nnames: [a]\nnc: 2\n', '`nc` is 2, but .* 1 class'),
    ('val: images/train\nnames: [a]\n', r"`train` must be .*has \['val'\]"),
    ('train: [images/train, 3]\nnames: [a]\n', '`train` must be a folder'),
])
def test_bad_yaml(tmp_path, content, match):
    path = _write(tmp_path, {'a': SQUARE})
    path.write_text(content)
    with pytest.raises(ValueError, match=f'data.yaml.*{match}'):
        yolo_to_coco(path, tmp_path / 'out.json')


def test_odd_but_legal(tmp_path):
    path = _write(
        tmp_path, {
            'a': f'{SQUARE}{SQUARE}1 -.1 0 1.05 0 1.05 .5 -.1 .5\n'
            '0 .1 .1 .2 .2 .3 .3\n'
        })
    report = yolo_to_coco(path, tmp_path / 'out.json')
    _, wide = read_coco(tmp_path / 'out.json')['annotations']
    assert (wide['area'], wide['bbox']) == (500, [0, 0, 50, 10])
    assert {
        k: [n.rsplit(' ', 1)[1] for n in v]
        for k, v in report.losses.items()
    } == dict(
        duplicates=['2'], clipped=['3'], no_pixels=['4'])


def test_other_layouts(tmp_path):
    _write(tmp_path, {'a': SQUARE, 'b': SQUARE, 'c': SQUARE})
    (tmp_path / 'list.txt').write_text(
        './images/train/a.jpg\n\nimages/train/c.jpg\n')
    path = tmp_path / 'data.yaml'
    content = dict(val='list.txt', names=['x', 'y'], nc=2, path='.')
    path.write_text(yaml.safe_dump(content))
    report = yolo_to_coco(path, tmp_path / 'val.json', split='val')
    data = read_coco(tmp_path / 'val.json')
    assert [i['file_name'] for i in data['images']
            ] == ['images/train/a.jpg', 'images/train/c.jpg']
    assert report.image_dir == str(tmp_path)
    (tmp_path / 'list.txt').write_text('images/train/d.jpg\n')
    with pytest.raises(FileNotFoundError, match='list.txt, line 1: .*d.jpg'):
        yolo_to_coco(path, tmp_path / 'x.json', split='val')
    yolo_to_coco(tmp_path, tmp_path / 'f.json', classes=('p', 'q'))
    assert len(read_coco(tmp_path / 'f.json')['annotations']) == 3
    (tmp_path / 'classes.txt').write_text('u\n\nv\n')
    yolo_to_coco(tmp_path, tmp_path / 'f.json')
    names = [c['name'] for c in read_coco(tmp_path / 'f.json')['categories']]
    assert names == ['u', 'v']


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 7), st.integers(9, 40),
       st.integers(9, 33))
def test_round_trip_of_masks_is_exact(tmp_path_factory, seed, count, height,
                                      width):
    """With holes, parts, and one pixel; bridges fill nothing."""
    folder = tmp_path_factory.mktemp('yolo')
    size = height, width
    objects = random_objects(seed, size, count)
    path = write_coco(
        folder, {
            'a.png': (size, objects),
            'images/b.png': ((12, 17), random_objects(seed + 1, (12, 17), 3))
        })
    report = coco_to_yolo(dict(train=YoloSplit(path, folder / 'images')),
                          folder / 'yolo')
    assert set(report.losses) <= {'bridged', 'duplicates'}
    assert report.ious == []
    yolo_to_coco(folder / 'yolo/data.yaml', folder / 'back.json')
    before, after = read_objects(path), read_objects(folder / 'back.json')
    count = 0
    for name, found in before.items():
        # A repeated line would be no second object.
        different = [
            item for i, item in enumerate(found)
            if not any(same_objects([item], [o]) for o in found[:i])
        ]
        count += len(found) - len(different)
        assert same_objects(different, after[name])
    assert len(report.losses.get('duplicates', [])) == count


def test_an_instance_that_equals_another(tmp_path):
    dot = np.zeros((9, 13), dtype=bool)
    dot[3, 5] = True
    objects = [Object(0, dot), Object(1, dot), Object(0, dot)]
    path = write_coco(tmp_path, {'a.png': ((9, 13), objects)})
    report = coco_to_yolo(
        dict(train=YoloSplit(path)), tmp_path / 'y', images='none')
    assert report.losses == dict(duplicates=['annotation 3'])
    assert report.instances == 2
    text = (tmp_path / 'y/labels/train/a.txt').read_text()
    assert [line[0] for line in text.splitlines()] == ['0', '1']


def _write_polygon(folder, polygon):
    """Write one polygon and convert it; return the report, and the mask."""
    path = write_coco(folder, {'a.png': ((41, 49), [])})
    data = json.loads(path.read_text())
    data['annotations'] = [
        dict(
            id=1,
            image_id=1,
            category_id=1,
            bbox=[0, 0, 9, 9],
            area=9,
            segmentation=[polygon])
    ]
    path.write_text(json.dumps(data))
    split = YoloSplit(path, folder / 'images')
    return coco_to_yolo(dict(train=split), folder / 'y'), _filled(polygon)


def _filled(polygon):
    rle = mask_api.frPyObjects([polygon], 41, 49)
    return mask_api.decode(rle)[..., 0].astype(bool)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 47900), st.integers(0, 39900)),
        min_size=3,
        max_size=6))
def test_thousandths_of_a_pixel_come_back(tmp_path_factory, points):
    folder = tmp_path_factory.mktemp('yolo')
    polygon = [c / 1000 for point in points for c in point]
    report, mask = _write_polygon(folder, polygon)
    if not mask.any():
        assert report.losses == dict(no_pixels=['annotation 1'])
        return
    assert report.losses == {} and report.ious == []
    yolo_to_coco(folder / 'y/data.yaml', folder / 'b.json')
    (item, ) = read_coco(folder / 'b.json')['annotations']
    assert item['segmentation'] == [polygon]
    assert item['area'] == mask.sum()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.floats(0, 47.9), st.floats(0, 39.9)),
        min_size=3,
        max_size=6))
def test_the_report_tells_what_rounding_changes(tmp_path_factory, points):
    folder = tmp_path_factory.mktemp('yolo')
    polygon = [c for point in points for c in point]
    report, mask = _write_polygon(folder, polygon)
    yolo_to_coco(folder / 'y/data.yaml', folder / 'b.json')
    items = read_coco(folder / 'b.json')['annotations']
    if not items:
        assert report.losses == dict(no_pixels=['annotation 1'])
        return
    after = items[0]['segmentation'][0]
    assert np.abs(np.array(after) - polygon).max() < 0.00051
    back = _filled(after)
    iou = (mask & back).sum() / (mask | back).sum()
    assert iou == pytest.approx(report.mean_iou)


def _with_polygons(folder, polygons):
    path = write_coco(folder, {'a.png': ((20, 30), [])})
    data = json.loads(path.read_text())
    data['annotations'] = [
        dict(id=7, image_id=1, category_id=2, bbox=[1, 2, 9, 9], area=60,
             segmentation=polygons)
    ]
    path.write_text(json.dumps(data))
    return path


def test_two_parts_get_a_bridge(tmp_path):
    path = _with_polygons(
        tmp_path, [[2, 2, 6, 2, 6, 6, 2, 6], [9, 7, 15, 7, 15, 18, 9, 18]])
    report = coco_to_yolo(dict(val=YoloSplit(path)), tmp_path / 'y',
                          images='none')
    (line, ) = (tmp_path / 'y/labels/val/a.txt').read_text().splitlines()
    label, *values = line.split()
    assert label == '1'
    points = (np.array(values, float).reshape(-1, 2) * [30, 20]).round(6)
    assert points.tolist() == [[2, 2], [6, 2], [6, 6], [9, 7], [15, 7],
                               [15, 18], [9, 18], [9, 7], [6, 6], [2, 6]]
    assert report.losses == dict(bridged=['annotation 7'])
    assert report.ious == []
    content = yaml.safe_load((tmp_path / 'y/data.yaml').read_text())
    assert content == dict(
        val='images/val', names={0: 'bolt', 1: 'nut', 2: 'screw'})


def test_overlapping_parts_keep_their_overlap(tmp_path):
    path = _with_polygons(
        tmp_path, [[2, 2, 10, 2, 10, 10, 2, 10], [6, 6, 15, 6, 15, 18, 6, 18]])
    report = coco_to_yolo(
        dict(train=YoloSplit(path, tmp_path / 'images')),
        tmp_path / 'y',
        images='copy')
    assert report.losses == {} and report.ious == []
    assert not (tmp_path / 'y/images/train/a.png').is_symlink()
    yolo_to_coco(tmp_path / 'y/data.yaml', tmp_path / 'b.json')
    (item, ) = read_coco(tmp_path / 'b.json')['annotations']
    assert item['area'] == 8 * 8 + 9 * 12 - 4 * 4


def test_what_yolo_cannot_hold(tmp_path):
    size = 30, 43
    rows, columns = np.mgrid[:30, :43]
    disk = (rows - 14)**2 + (columns - 17)**2 < 11**2
    path = write_coco(tmp_path, {
        'a.png': (size, [Object(0, disk), Object(1, disk, is_crowd=True)])
    })
    report = coco_to_yolo(
        dict(train=YoloSplit(path)), tmp_path / 'y', images='none',
        tolerance_px=1.0)
    assert report.losses == dict(
        changed=['annotation 1'], crowds=['annotation 2'])
    assert 0.9 < report.mean_iou == report.ious[0] < 1
    rle = json.loads(path.read_text())['annotations'][0]['segmentation']
    (tmp_path / 'r.json').write_text(
        json.dumps([
            dict(image_id=1, category_id=3, score=s, segmentation=rle)
            for s in (0.2, 0.8)
        ]))
    report = coco_to_yolo(
        dict(train=YoloSplit(path, None, tmp_path / 'r.json')),
        tmp_path / 'z',
        images='none',
        score_thr=0.5)
    assert report.losses == dict(scores=['prediction 1'])
    (line, ) = (tmp_path / 'z/labels/train/a.txt').read_text().splitlines()
    assert line.startswith('2 ')


def test_bad_arguments_leave_nothing(tmp_path):
    path = write_coco(tmp_path / 'c', {'a.png': ((9, 11), [])})
    other = write_coco(tmp_path / 'd', {'a.png': ((9, 11), [])}, ('bolt', ))
    twins = write_coco(tmp_path / 'e', {
        'a.png': ((9, 11), []),
        'a.jpg': ((9, 11), [])
    })
    out = tmp_path / 'out'
    split = YoloSplit(path, tmp_path / 'c/images')
    for splits, options, match in (
        (dict(train=split), dict(images='move'), '`images` of coco_to_yolo'),
        ({}, {}, '`splits` of coco_to_yolo must not be empty'),
        (dict(train=split, val=YoloSplit(other)), {}, 'the same classes'),
        (dict(train=YoloSplit(path)), {}, 'Give the image folder'),
        (dict(train=YoloSplit(twins)), dict(images='none'),
         "'a.png' and 'a.jpg' would both"),
    ):
        with pytest.raises(ValueError, match=match):
            coco_to_yolo(splits, out, **options)
        assert not out.exists()
    (tmp_path / 'c/images/a.png').unlink()
    with pytest.raises(FileNotFoundError, match='Image 1 of .* is missing'):
        coco_to_yolo(dict(train=split), out)
    with pytest.raises(FileExistsError, match='`out_dir` of coco_to_yolo'):
        coco_to_yolo(dict(train=split), tmp_path / 'c')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['c', 'd', 'e']
