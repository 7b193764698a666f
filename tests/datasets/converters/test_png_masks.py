"""COCO JSON and PNG instance masks."""
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as mask_api

from mmseghead.datasets.coco_json import read_coco
from mmseghead.datasets.converters import (coco_to_png, png_to_coco,
                                           write_png_masks)
from mmseghead.testing.coco_files import (Object, random_objects, read_objects,
                                          same_objects, write_coco)

CLASSES = ('bolt', 'nut', 'screw')
SIZE = 20, 31


def _square(top, left, height, width, size=SIZE):
    mask = np.zeros(size, dtype=bool)
    mask[top:top + height, left:left + width] = True
    return mask


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(0, 7), st.integers(9, 40),
       st.integers(9, 33))
def test_round_trip_is_exact_without_overlaps(tmp_path_factory, seed, count,
                                              height, width):
    folder = tmp_path_factory.mktemp('png')
    size = height, width
    path = write_coco(
        folder, {
            'a.png': (size, random_objects(seed, size, count, overlap=False)),
            'sub/b.png': ((12, 17), [
                Object(1, _square(2, 3, 4, 5, (12, 17))),
                Object(1, _square(8, 1, 3, 9, (12, 17)), is_crowd=True)
            ])
        })
    report = coco_to_png(path, folder / 'masks')
    assert report.losses == {}
    png_to_coco(folder / 'images', folder / 'masks', folder / 'back.json')
    before, after = read_objects(path), read_objects(folder / 'back.json')
    for name in before:
        assert same_objects(before[name], after[name])
    names = [
        c['name'] for c in read_coco(folder / 'back.json')['categories']
    ]
    assert names == list(CLASSES)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 9))
def test_overlaps_are_counted(tmp_path_factory, seed, count):
    """The smaller one is on top; a slow loop over pixels says who."""
    folder = tmp_path_factory.mktemp('png')
    objects = random_objects(seed, SIZE, count)
    report = write_png_masks(folder / 'x.png', SIZE, CLASSES,
                             [o.mask for o in objects],
                             [o.label for o in objects])
    ids = np.array(Image.open(folder / 'x.png'))
    areas = [int(o.mask.sum()) for o in objects]
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            over = [i for i, o in enumerate(objects) if o.mask[y, x]]
            # Of equal ones, the later.
            top = min(over, key=lambda i: (areas[i], -i), default=-1)
            assert ids[y, x] == top + 1
    seen = [int((ids == i + 1).sum()) for i in range(count)]
    assert report.instances == sum(n > 0 for n in seen)
    assert report.losses.get('hidden', []) == [
        f'instance {i}' for i, n in enumerate(seen) if not n
    ]
    assert report.losses.get('overlaps', []) == [
        f'instance {i} ({a - n} px)'
        for i, (a, n) in enumerate(zip(areas, seen)) if 0 < n < a
    ]
    ious = [n / a for n, a in zip(seen, areas)]
    assert report.mean_iou == pytest.approx(np.mean(ious))


def test_writing_masks_in_memory(tmp_path):
    low, high = _square(3, 4, 6, 8), _square(5, 6, 9, 9)
    rle = mask_api.encode(np.asfortranarray(high, dtype=np.uint8))
    write_png_masks(
        tmp_path / 'out/x.png',
        SIZE,
        CLASSES, [rle, low, low & False], [2, 0, 1],
        scores=[0.5, 0.75, 0.9])
    image = Image.open(tmp_path / 'out/x.png')
    assert image.mode.startswith('I')
    ids = np.array(image)
    assert np.array_equal(ids == 2, low)
    assert np.array_equal(ids == 1, high & ~low)
    content = json.loads((tmp_path / 'out/x.json').read_text())
    assert content == dict(
        height=20,
        width=31,
        classes=list(CLASSES),
        instances=[
            dict(
                id=1,
                label='screw',
                label_index=2,
                iscrowd=0,
                area=81,
                visible_area=81 - 4 * 6,
                score=0.5),
            dict(
                id=2,
                label='bolt',
                label_index=0,
                iscrowd=0,
                area=48,
                visible_area=48,
                score=0.75)
        ])
    with pytest.raises(ValueError, match='must end in .png'):
        write_png_masks(tmp_path / 'x.tif', SIZE, CLASSES, [], [])
    dot = _square(0, 0, 1, 1, (1, 2))
    with pytest.raises(ValueError, match='at most 65535 instances, got 65536'):
        write_png_masks(tmp_path / 'x.png', (1, 2), CLASSES, [dot] * 65536,
                        [0] * 65536)
    assert [p.name for p in tmp_path.iterdir()] == ['out']


def test_many_instances_need_sixteen_bits(tmp_path):
    size = 30, 40
    masks = [_square(i // 40, i % 40, 1, 1, size) for i in range(700)]
    write_png_masks(tmp_path / 'x.png', size, CLASSES, masks, [0] * 700)
    ids = cv2.imread(str(tmp_path / 'x.png'), cv2.IMREAD_UNCHANGED)
    assert ids.dtype == np.uint16
    assert ids.ravel().tolist() == list(range(1, 701)) + [0] * 500


def _ids(folder, ids, mode=None, name='a.png'):
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    (folder / 'masks').mkdir(exist_ok=True)
    cv2.imwrite(str(folder / 'images/a.jpg'), np.zeros(SIZE, np.uint8))
    image = Image.fromarray(ids)
    if mode == 'P':
        image.putpalette([i for rgb in range(256) for i in (rgb, 9, 0)])
    image.save(folder / 'masks' / name)
    return folder / 'images', folder / 'masks', folder / 'out.json'


def _areas(path):
    data = read_coco(path)
    names = {c['id']: c['name'] for c in data['categories']}
    return [(names[a['category_id']], a['area']) for a in data['annotations']]


@pytest.mark.parametrize('dtype, mode', [(np.uint8, None), (np.uint8, 'P'),
                                         (np.uint16, None)])
def test_one_class(tmp_path, dtype, mode):
    ids = np.zeros(SIZE, dtype)
    ids[2:5, 3:9] = 7
    ids[8, 20] = 7
    ids[10:12, 3:9] = 9
    ids[0] = 255
    paths = _ids(tmp_path, ids, mode)
    report = png_to_coco(*paths, rule='single', classes=['cell'], ignore=[255])
    assert _areas(paths[2]) == [('cell', 19), ('cell', 12)]
    assert report.image_dir == str(paths[0])


def test_class_in_the_thousands(tmp_path):
    ids = np.zeros(SIZE, np.uint16)
    ids[2:5, 3:9] = 24001
    ids[6] = 26000
    ids[9, :2] = 23
    paths = _ids(tmp_path, ids, name='a_ids.png')
    options = dict(rule='thousands', mask_suffix='_ids')
    report = png_to_coco(
        *paths, classes=['car', 'person'], class_ids=[26, 24], **options)
    assert _areas(paths[2]) == [('person', 18), ('car', 31)]
    assert report.losses == dict(
        skipped=[f'{paths[1] / "a_ids.png"}, id 23'])
    with pytest.raises(
            ValueError,
            match=r'a_ids.png, id 24001: its class, 24 \(id // 1000\), must '
            r'be one of \[1, 2\]'):
        png_to_coco(*paths, classes=['car', 'person'], **options)


def test_one_file_a_mask(tmp_path):
    paths = _ids(tmp_path, np.zeros(SIZE, np.uint8))
    (paths[1] / 'a.png').unlink()
    for label, index, mask in (('nut', 0, _square(2, 3, 4, 5)),
                               ('bolt', 0, _square(3, 3, 6, 5)),
                               ('bolt', 1, _square(9, 9, 2, 2))):
        (paths[1] / 'a' / label).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(
            str(paths[1] / f'a/{label}/{index}.png'),
            mask.astype(np.uint8) * 255)
    png_to_coco(*paths, rule='files')
    assert _areas(paths[2]) == [('bolt', 30), ('bolt', 4), ('nut', 20)]
    (paths[1] / 'a/nut/0.png').rename(paths[1] / 'a/0.png')
    with pytest.raises(ValueError, match='a/0.png must lie in a folder of the '
                       'name of its class'):
        png_to_coco(*paths, rule='files', classes=['nut', 'bolt'])
    with pytest.raises(ValueError, match="a/bolt/0.png: the class must be one "
                       "of bolts; got 'bolt'. Did you mean 'bolts'"):
        png_to_coco(*paths, rule='files', classes=['bolts'])
    (paths[1] / 'a/0.png').rename(tmp_path / '0.png')
    for path in (paths[1] / 'a/bolt').iterdir():
        path.unlink()
    (tmp_path / '0.png').rename(paths[1] / 'a/0.png')
    png_to_coco(*paths, rule='files', classes=['nut'])
    assert _areas(paths[2]) == [('nut', 20)]
    (paths[1] / 'a/0.png').unlink()
    with pytest.raises(FileNotFoundError, match='masks/a must be a folder of'):
        png_to_coco(*paths, rule='files', classes=['nut'])


def test_bad_masks_are_named_and_nothing_is_written(tmp_path):
    ids = np.ones(SIZE, np.uint8)
    paths = _ids(tmp_path, ids)
    one = dict(rule='single', classes=['cell'])
    for content, match in (
        (np.ones((*SIZE, 3), np.uint8), 'a.png must have one channel .*RGB'),
        (np.ones((31, 20), np.uint8), 'a.png must have the size of its image, '
         '31 x 20 px, got 20 x 31'),
    ):
        _ids(tmp_path, content)
        with pytest.raises(ValueError, match=match):
            png_to_coco(*paths, **one)
    _ids(tmp_path, ids)
    whole = (paths[1] / 'a.png').read_bytes()
    (paths[1] / 'a.png').write_bytes(whole[:50])
    with pytest.raises(ValueError, match='a.png cannot be read .*cut off'):
        png_to_coco(*paths, **one)
    (paths[1] / 'a.png').unlink()
    with pytest.raises(FileNotFoundError, match='There is no mask .*a.png'):
        png_to_coco(*paths, **one)
    (paths[0] / 'a.jpg').unlink()
    with pytest.raises(FileNotFoundError, match='images must be a folder wit'):
        png_to_coco(*paths, **one)
    assert not paths[2].exists()


def test_bad_sidecars(tmp_path):
    paths = _ids(tmp_path, np.ones(SIZE, np.uint8))
    sidecar = paths[1] / 'a.json'
    with pytest.raises(FileNotFoundError, match='a.json'):
        png_to_coco(*paths)
    for content, match in (
        ([], 'a.json must hold an object with the list `instances`'),
        (dict(instances=[dict(id=1)]), 'objects with `id` and `label`'),
        (dict(instances=[dict(id=2, label='x')]), r'a.png, id 1 must be '
         r'listed in a.json, which has \[2\]'),
        (dict(instances=[dict(id=1, label='x')] * 2), 'must be unique'),
        (dict(instances=[]), 'no labelled shape'),
    ):
        sidecar.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=match):
            png_to_coco(*paths)
    sidecar.write_text(json.dumps(dict(instances=[dict(id=1, label='x')])))
    png_to_coco(*paths)
    assert _areas(paths[2]) == [('x', 20 * 31)]


@pytest.mark.parametrize('options, match', [
    (dict(rule='colour'), "`rule` of png_to_coco must be one of .*'colour'"),
    (dict(rule='single'), '`classes` must be one name'),
    (dict(rule='thousands'), '`classes` must be given'),
    (dict(rule='thousands', classes=['a', 'b'], class_ids=[3]),
     '`class_ids` must be one number for each of the 2 classes'),
    (dict(rule='thousands', classes=['a', 'b'], class_ids=[3, 3]),
     '`class_ids` must be one number for each'),
    (dict(classes=['a', 'a']), '`classes` must be names, at least one and no'),
])
def test_bad_arguments(tmp_path, options, match):
    paths = _ids(tmp_path, np.ones(SIZE, np.uint8))
    with pytest.raises(ValueError, match=match):
        png_to_coco(*paths, **options)


def test_predictions(tmp_path):
    path = write_coco(tmp_path, {'a.png': (SIZE, [])})
    low, high = _square(3, 4, 6, 8), _square(4, 5, 2, 2)
    rles = [
        dict(size=list(SIZE), counts=mask_api.encode(
            np.asfortranarray(m, dtype=np.uint8))['counts'].decode())
        for m in (high, low, low)
    ]
    (tmp_path / 'r.json').write_text(
        json.dumps([
            dict(image_id=1, category_id=c, score=s, segmentation=rle)
            for c, s, rle in zip((1, 3, 2), (0.5, 0.9, 0.1), rles)
        ]))
    report = coco_to_png(
        path, tmp_path / 'out', results=tmp_path / 'r.json', score_thr=0.4)
    assert report.losses == dict(hidden=['prediction 0'])
    assert report.ious == [0.0] and report.mean_iou == 0.5
    content = json.loads((tmp_path / 'out/a.json').read_text())
    assert [(i['id'], i['label'], i['score'])
            for i in content['instances']] == [(1, 'screw', 0.9)]
    with pytest.raises(FileExistsError, match='`out_dir` of coco_to_png'):
        coco_to_png(path, tmp_path / 'out')
