"""COCO JSON and labelme's files."""
import base64
import copy
import json
from io import BytesIO

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_api

from mmseghead.datasets.coco_json import read_coco
from mmseghead.datasets.converters import (coco_to_labelme, labelme_to_coco,
                                           write_labelme)
from mmseghead.testing.coco_files import (Object, random_objects, read_objects,
                                          same_objects, write_coco)

CLASSES = ('bolt', 'nut', 'screw')


def _png(mask):
    buffer = BytesIO()
    Image.fromarray(mask.astype(np.uint8)).save(buffer, 'png')
    return base64.b64encode(buffer.getvalue()).decode()


def _golden():
    """One image of 40 x 30 px, as labelme writes it."""
    crop = np.ones((3, 4), dtype=bool)
    crop[1, 2] = False
    shape = dict(flags={}, group_id=None, description='', mask=None)
    return dict(
        version='5.4.1',
        flags={},
        imagePath='..\\images\\a.png',
        imageData=None,
        imageHeight=30,
        imageWidth=40,
        shapes=[
            dict(
                shape,
                label='nut',
                shape_type='polygon',
                points=[[1, 2], [5.5, 2], [5.5, 8], [1, 8]]),
            dict(
                shape,
                label='bolt',
                shape_type='rectangle',
                points=[[15, 9], [10, 4]]),
            dict(
                shape,
                label='bolt',
                shape_type='circle',
                points=[[25, 20], [25, 26]]),
            dict(
                shape,
                label='nut',
                shape_type='mask',
                points=[[30, 3], [33, 5]],
                mask=_png(crop)),
            dict(
                shape,
                label='nut',
                group_id=4,
                shape_type='polygon',
                points=[[1, 20], [4, 20], [4, 22], [1, 22]]),
            dict(shape, label='nut', shape_type='point', points=[[3, 3]]),
            dict(
                shape,
                label='bolt',
                group_id=4,
                shape_type='oriented_rectangle',
                points=[[1, 26], [4, 26], [4, 28], [1, 28]]),
            dict(
                shape,
                label='nut',
                group_id=4,
                shape_type='rectangle',
                flags=dict(iscrowd=True),
                points=[[6, 20], [8, 25]]),
            dict(
                shape,
                label='bolt',
                shape_type='linestrip',
                points=[[3, 3], [9, 9]]),
        ])


def _write(folder, content, name='a'):
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    (folder / 'labels').mkdir(exist_ok=True)
    cv2.imwrite(str(folder / 'images/a.png'), np.zeros((30, 40), np.uint8))
    path = folder / f'labels/{name}.json'
    path.write_text(
        content if isinstance(content, str) else json.dumps(content))
    return path


def _convert(folder, **options):
    options.setdefault('image_dir', folder / 'images')
    return labelme_to_coco(folder / 'labels', folder / 'out.json', **options)


def test_golden_shapes(tmp_path):
    _write(tmp_path, _golden())
    report = _convert(tmp_path)
    data = read_coco(tmp_path / 'out.json')
    assert data['images'] == [
        dict(id=1, file_name='a.png', height=30, width=40)
    ]
    assert data['categories'] == [
        dict(id=1, name='bolt'), dict(id=2, name='nut')
    ]
    items = data['annotations']
    assert [(a['category_id'], a['iscrowd']) for a in items
            ] == [(2, 0), (1, 0), (1, 0), (2, 0), (2, 1), (1, 0)]
    assert items[0]['segmentation'] == [[1, 2, 5.5, 2, 5.5, 8, 1, 8]]
    assert items[1]['area'] == 25 and items[1]['bbox'] == [10, 4, 5, 5]
    assert items[2]['area'] == pytest.approx(np.pi * 36, rel=0.03)
    assert items[2]['bbox'] == [19, 14, 12, 12]
    crop = mask_api.decode(items[3]['segmentation'])[3:6, 30:34]
    assert crop.tolist() == [[1, 1, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]]
    assert items[3]['area'] == 11
    assert items[4]['area'] == 3 * 2 + 2 * 5
    assert len(items[4]['segmentation']) == 2
    # The same group, but another class.
    assert items[5]['area'] == 6
    assert report.instances == 6 and report.images == 1
    assert list(report.losses) == ['skipped']
    assert [s.split(': ')[1] for s in report.losses['skipped']
            ] == ['shape 5 (nut), a point', 'shape 8 (bolt), a linestrip']
    assert '2 x not an area: left out: ' in report.summary()


def test_target_inside_of_the_source(tmp_path):
    _write(tmp_path, _golden())
    target = tmp_path / 'labels/out.json'
    for _ in range(2):
        report = labelme_to_coco(
            tmp_path / 'labels', target, image_dir=tmp_path / 'images')
        assert report.instances == 6


def test_classes_that_are_given(tmp_path):
    _write(tmp_path, _golden())
    _convert(tmp_path, classes=('screw', 'nut', 'bolt'))
    data = read_coco(tmp_path / 'out.json')
    assert [c['name'] for c in data['categories']] == ['screw', 'nut', 'bolt']
    assert data['annotations'][0]['category_id'] == 2
    with pytest.raises(
            ValueError,
            match=r"a.json: shape 1 \(bolt\): the class must be one of nut, "
            r"bolts; got 'bolt'. Did you mean 'bolts'\?"):
        _convert(tmp_path, classes=('nut', 'bolts'))


def _shape(index, **changes):

    def change(content):
        content['shapes'][index].update(changes)

    return change


BAD = {
    'no_shapes': (lambda c: c.pop('shapes'), 'is no file of labelme'),
    'no_label': (_shape(1, label=None), 'shape 1 must be an object with a'),
    'two_points': (_shape(0, points=[[1, 2], [3, 4]]),
                   r'shape 0 \(nut\): a polygon must have at least 3 points'),
    'nan': (_shape(0, points=[[1, 2], [3, float('nan')], [1, 4]]),
            r'shape 0 \(nut\): `points` must be finite, but point 1 is'),
    'odd': (_shape(0, points=[[1, 2], [3], [1, 4]]),
            r'shape 0 \(nut\): `points` must be a list of pairs'),
    'text': (_shape(0, points=[['1', '2'], [3, 4], [1, 4]]),
             r'shape 0 \(nut\): `points` must be a list of pairs'),
    'circle': (_shape(2, points=[[1, 2]]),
               r'shape 2 \(bolt\): a circle must have 2 points'),
    'no_mask': (_shape(3, mask=None), r'shape 3 \(nut\): `mask` must be a'),
    'bad_mask': (_shape(3, mask='AAAA'), r'shape 3 \(nut\): .*cannot be read'),
    'group': (_shape(4, group_id=[1]), r'shape 4 \(nut\): `group_id` must'),
    'size': (lambda c: c.update(imageWidth=41),
             r'is for an image of 41 x 30 px, but .*a.png has 40 x 30'),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_shapes_are_named_and_nothing_is_written(tmp_path, name):
    damage, match = BAD[name]
    content = copy.deepcopy(_golden())
    damage(content)
    _write(tmp_path, content)
    with pytest.raises(ValueError, match=f'labels/a.json.*{match}'):
        _convert(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['images', 'labels']


def test_bad_files(tmp_path):
    with pytest.raises(FileNotFoundError, match='`source` of labelme_to_coco'):
        labelme_to_coco(tmp_path, tmp_path / 'out.json')
    _write(tmp_path, json.dumps(_golden())[:200])
    with pytest.raises(ValueError, match='a.json is no valid JSON: line 1'):
        _convert(tmp_path)
    _write(tmp_path, dict(_golden(), imagePath='b.png'))
    with pytest.raises(FileNotFoundError, match="a.json: its image is missing"
                       ".*'b.png'"):
        _convert(tmp_path)
    _write(tmp_path, _golden())
    _write(tmp_path, _golden(), 'b')
    with pytest.raises(ValueError, match='a.json and .*b.json both annotate'):
        _convert(tmp_path)
    (tmp_path / 'labels/b.json').unlink()
    with pytest.raises(ValueError, match='must lie below the image folder'):
        _convert(tmp_path, image_dir=tmp_path / 'labels')
    (tmp_path / 'images/a.png').write_bytes(b'\x89PNG')
    with pytest.raises(ValueError, match='a.png cannot be read as an image'):
        _convert(tmp_path)


def test_odd_but_legal(tmp_path):
    """Outside, without area, ignored, no shapes, an image beside, no JSON."""
    content = _golden()
    shape = dict(content['shapes'][0], group_id=None)
    content['shapes'] = [
        dict(shape, points=[[-5, -5], [3, -5], [3, 4], [-5, 4]]),
        dict(shape, points=[[1, 1], [9, 1], [5, 1]]),
        dict(shape, points=[[41, 1], [49, 1], [45, 9]]),
        dict(shape, label='__ignore__'),
        dict(shape, shape_type='circle', points=[[9, 9], [9, 9]]),
    ]
    _write(tmp_path, content)
    folder = tmp_path / 'images'
    (tmp_path / 'labels/a.json').rename(folder / 'a.json')
    cv2.imwrite(str(folder / 'b.jpg'), np.zeros((8, 9), np.uint8))
    cv2.imwrite(str(folder / 'c.jpg'), np.zeros((8, 9), np.uint8))
    (folder / 'b.json').write_text(
        json.dumps(dict(shapes=[], imagePath='moved/b.jpg')))
    report = labelme_to_coco(folder, tmp_path / 'out.json')
    data = read_coco(tmp_path / 'out.json')
    (item, ) = data['annotations']
    assert item['area'] == 12 and item['bbox'] == [0, 0, 3, 4]
    assert min(item['segmentation'][0]) == 0
    assert {k: len(v) for k, v in report.losses.items()} == dict(
        clipped=2, no_pixels=3, skipped=1, no_labels=1, unlabelled=1)
    assert [i['file_name'] for i in data['images']] == ['a.png', 'b.jpg']
    assert report.losses['unlabelled'] == [str(folder / 'c.jpg')]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 7), st.integers(9, 40),
       st.integers(9, 33))
def test_round_trip_is_exact(tmp_path_factory, seed, count, height, width):
    folder = tmp_path_factory.mktemp('labelme')
    first = random_objects(seed, (height, width), count)
    crowd = [Object(2, np.ones((height, width), dtype=bool), True)]
    path = write_coco(
        folder, {
            'a.png': ((height, width), first + crowd),
            'sub/b.png': ((12, 17), random_objects(seed + 1, (12, 17), 3))
        })
    report = coco_to_labelme(path, folder / 'images', folder / 'labelme')
    assert report.losses == {} and report.ious == []
    back = labelme_to_coco(
        folder / 'labelme',
        folder / 'back.json',
        classes=CLASSES,
        image_dir=folder / 'images')
    before, after = read_objects(path), read_objects(folder / 'back.json')
    assert before.keys() == after.keys()
    for name in before:
        assert same_objects(before[name], after[name])
    assert report.instances == back.instances == sum(map(len, before.values()))


def test_polygons_stay_what_they_are(tmp_path):
    path = write_coco(tmp_path, {'a.png': ((20, 31), [])})
    data = json.loads(path.read_text())
    polygons = [[1.25, 2.1, 9.7, 2.3, 8.1, 9.9], [12, 3, 19, 3, 15.5, 11]]
    item = dict(id=1, image_id=1, category_id=2, bbox=[1, 2, 18, 9], area=60)
    data['annotations'] = [dict(item, segmentation=polygons)]
    path.write_text(json.dumps(data))
    coco_to_labelme(path, tmp_path / 'images', tmp_path / 'out')
    shapes = json.loads((tmp_path / 'out/a.json').read_text())['shapes']
    assert [s['group_id'] for s in shapes] == [1, 1]
    labelme_to_coco(
        tmp_path / 'out', tmp_path / 'b.json', image_dir=tmp_path / 'images')
    (back, ) = read_coco(tmp_path / 'b.json')['annotations']
    assert back['segmentation'] == polygons


def _with_labelme_rules(shape, size):
    """Return a mask shape's pixels: box with both ends, as labelme does."""
    mask = np.zeros(size, dtype=bool)
    pixels = np.array(Image.open(BytesIO(base64.b64decode(shape['mask']))))
    (x1, y1), (x2, y2) = np.array(shape['points'], int)
    mask[y1:y2 + 1, x1:x2 + 1] = pixels.astype(bool)
    return mask


def test_writing_masks_in_memory(tmp_path):
    square = np.zeros((20, 31), dtype=bool)
    square[3:9, 4:12] = True
    ring = square.copy()
    ring[5:7, 6:9] = False
    two = square.copy()
    two[15:17, 20] = True
    rle = mask_api.encode(np.asfortranarray(two, dtype=np.uint8))
    report = write_labelme(
        tmp_path / 'out/x.json',
        tmp_path / 'pictures/x.jpg', (20, 31),
        CLASSES, [square, ring, rle, square & False], [0, 2, 1, 1],
        scores=[0.25, 0.5, 0.75, 1.0])
    content = json.loads((tmp_path / 'out/x.json').read_text())
    assert content['imagePath'] == '../pictures/x.jpg'
    assert (content['imageHeight'], content['imageWidth']) == (20, 31)
    assert content['imageData'] is None and content['version']
    shapes = content['shapes']
    assert [(s['label'], s['shape_type'], s['group_id'], s['score'])
            for s in shapes] == [('bolt', 'polygon', None, 0.25),
                                 ('screw', 'mask', None, 0.5),
                                 ('nut', 'polygon', 3, 0.75),
                                 ('nut', 'polygon', 3, 0.75)]
    assert shapes[1]['description'] == 'score 0.500'
    assert np.array_equal(_with_labelme_rules(shapes[1], (20, 31)), ring)
    assert report.instances == 3
    assert report.losses == dict(no_pixels=['instance 3'])
    nothing = write_labelme(tmp_path / 'y.json', 'y.jpg', (20, 31), CLASSES,
                            [], [])
    assert nothing.instances == 0


@pytest.mark.parametrize('masks, labels, scores, match', [
    ([np.ones((3, 4), bool)], [0], None, r'\(20, 31\), got \(3, 4\) at index'),
    ([np.ones((20, 31), bool)], [3], None, 'from 0 to 2, got 3 at index 0'),
    ([np.ones((20, 31), bool)], [-1], None, 'from 0 to 2, got -1 at index 0'),
    ([], [0], None, 'same length, got 0, 1 and none'),
    ([np.ones((20, 31), bool)], [0], [], 'same length, got 1, 1 and 0'),
    ([dict(size=[31, 20], counts=[620])], [0], None, r'instance 0: `size` of'),
    ([[[1, 2, 3, 4]]], [0], None, 'instance 0: polygon 0'),
])
def test_bad_masks_in_memory(tmp_path, masks, labels, scores, match):
    with pytest.raises(ValueError, match=match):
        write_labelme(
            tmp_path / 'x.json',
            'x.jpg', (20, 31),
            CLASSES,
            masks,
            labels,
            scores=scores)
    assert not list(tmp_path.iterdir())


def test_predictions_and_simplifying(tmp_path):
    rows, columns = np.mgrid[:50, :60]
    disk = (rows - 22)**2 + (columns - 27)**2 < 18**2
    path = write_coco(tmp_path, {
        'a.png': ((50, 60), [Object(1, disk)]),
        'b.png': ((9, 11), [])
    })
    rle = json.loads(path.read_text())['annotations'][0]['segmentation']
    (tmp_path / 'r.json').write_text(
        json.dumps([
            dict(image_id=1, category_id=c, score=s, segmentation=rle)
            for c, s in ((1, 0.3), (3, 0.9), (2, 0.29))
        ]))
    report = coco_to_labelme(
        path,
        tmp_path / 'images',
        tmp_path / 'out',
        results=tmp_path / 'r.json',
        score_thr=0.3,
        tolerance_px=0.5)
    shapes = json.loads((tmp_path / 'out/a.json').read_text())['shapes']
    assert [(s['label'], s['score']) for s in shapes
            ] == [('screw', 0.9), ('bolt', 0.3)]
    assert len(shapes[0]['points']) < 40
    assert report.images == 2 and report.instances == len(report.ious) == 2
    assert 0.97 < report.mean_iou < 1
    assert len(report.losses['changed']) == 2
    assert 'mask IoU before and after: mean 0.9' in report.summary()
    content = json.loads((tmp_path / 'out/b.json').read_text())
    assert content['shapes'] == []


def test_existing_files_are_kept(tmp_path):
    path = write_coco(tmp_path, {
        'a.png': ((9, 11), []),
        'b.png': ((9, 11), [])
    })
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'b.json').write_text('mine')
    with pytest.raises(FileExistsError, match='the first is .*b.json'):
        coco_to_labelme(path, tmp_path / 'images', out)
    assert [p.name for p in out.iterdir()] == ['b.json']
    (tmp_path / 'images/b.png').unlink()
    with pytest.raises(FileNotFoundError, match='Image 2 of .*ann.json is mi'):
        coco_to_labelme(path, tmp_path / 'images', out, overwrite=True)
    # What was written before the bad image is gone again.
    assert [p.name for p in out.iterdir()] == ['b.json']
    cv2.imwrite(str(tmp_path / 'images/b.png'), np.zeros((11, 9), np.uint8))
    with pytest.raises(ValueError, match='Image 2 of .* must have 11 x 9 px, '
                       'but .*b.png has 9 x 11'):
        coco_to_labelme(path, tmp_path / 'images', out, overwrite=True)
    assert (out / 'b.json').read_text() == 'mine'
