"""Faults of COCO JSON, each found and named."""
import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_api

from mmseghead.datasets.coco_checks import (crosses_itself, find_problems,
                                            iter_result_problems, rle_counts)
from mmseghead.datasets.coco_json import read_coco, read_coco_results
from mmseghead.testing.paths import shared_data

NAN = float('nan')
SQUARE = [2, 3, 9, 3, 9, 8, 2, 8]


def _good():
    """Two images of 20 x 30 and 11 x 13, ids with gaps and a 0."""
    rle = mask_api.encode(np.asfortranarray(np.eye(11, 13, dtype=np.uint8)))
    rle['counts'] = rle['counts'].decode()
    return dict(
        images=[
            dict(id=4, file_name='a.jpg', height=20, width=30),
            dict(id=0, file_name='b.jpg', height=11, width=13)
        ],
        categories=[dict(id=0, name='bolt'),
                    dict(id=7, name='nut')],
        annotations=[
            dict(
                id=5,
                image_id=4,
                category_id=0,
                bbox=[2, 3, 7, 5],
                area=35,
                iscrowd=0,
                segmentation=[SQUARE, [1.5, 1, 4, 1, 4, 2.5]]),
            dict(
                id=3,
                image_id=0,
                category_id=7,
                bbox=[0, 0, 11, 11],
                area=11,
                segmentation=rle),
            dict(
                id=8,
                image_id=0,
                category_id=7,
                bbox=[1, 0, 1, 1],
                area=1.0,
                iscrowd=1,
                segmentation=dict(size=[11, 13], counts=[11, 1, 131]))
        ])


def _annotation(**changes):

    def change(data):
        data['annotations'][0].update(changes)

    return change


def _item(key, index, **changes):

    def change(data):
        data[key][index].update(changes)

    return change


def _polygon(*coordinates):
    return _annotation(segmentation=[SQUARE, list(coordinates)])


def _rle(size, counts):
    return _annotation(segmentation=dict(size=size, counts=counts))


ERRORS = {
    'no_list': (lambda d: d.pop('images'), '`images` is missing; there are'),
    'dict': (lambda d: d.update(images={}), '`images` must be a list'),
    'empty': (lambda d: d['categories'].clear(),
              '`categories` must not be empty'),
    'image': (lambda d: d['images'].append(3),
              'image at index 2 must be an object, got 3'),
    'image_id': (_item('images', 1, id='0'), "index 1: `id`.*int, got '0'"),
    'same_image': (_item('images', 1, id=4),
                   'image 4: `id` must be unique.*index 0'),
    'file_name': (_item('images', 0, file_name=''), 'image 4: `file_name`'),
    'height': (_item('images', 0, height=0), 'image 4: `height` and `width`'),
    'float_width': (_item('images', 0, width=30.), 'image 4: .*20 and 30.0'),
    'category': (_item('categories', 1, id=None), "index 1: `id`.*nothing"),
    'name': (_item('categories', 1, name=3), 'category 7: `name`'),
    'same_category': (_item('categories', 1, id=0), 'category 0: `id`'),
    'annotation': (lambda d: d['annotations'].append(None),
                   'annotation at index 3 must be an object'),
    'same_id': (_annotation(id=3), 'annotation 3: `id` must be unique.*'
                'index 0.*this one is at index 1'),
    'no_image': (_annotation(image_id=1),
                 'annotation 5: `image_id` .* of the 2 images, got 1'),
    'no_category': (_annotation(category_id=1),
                    r'annotation 5: `category_id`.*\(0, 7\), got 1'),
    'true': (_annotation(category_id=False), 'category_id.*got False'),
    'nan_box': (_annotation(bbox=[2, NAN, 7, 5]), 'annotation 5: `bbox`.*nan'),
    'short_box': (_annotation(bbox=[2, 3, 7]), 'annotation 5: `bbox`'),
    'negative_box': (_annotation(bbox=[2, 3, -7, 5]), 'annotation 5: `bbox`'),
    'no_area': (_annotation(area=None), 'annotation 5: `area`.*nothing'),
    'crowd': (_annotation(iscrowd=2), 'annotation 5: `iscrowd` must be 0 or'),
    'no_mask': (_annotation(segmentation=[]),
                r'annotation 5: `segmentation` must be.*got \[\]'),
    'flat': (_annotation(segmentation=SQUARE), 'annotation 5: polygon 0 .*2'),
    'odd': (_polygon(1, 2, 3, 4, 5, 6, 7), 'annotation 5: polygon 1.*7 num'),
    'two_points': (_polygon(1, 2, 3, 4), 'annotation 5: polygon 1.*4 numbers'),
    'nan': (_polygon(1, 2, 3, 4, NAN, 6), 'annotation 5: .*nan at index 4'),
    'text': (_polygon(1, 2, 3, '4', 5, 6), "annotation 5: .*'4' among them"),
    'rle_size': (_rle([30, 20], 'X'), r'annotation 5: `size`.*\[20, 30\], '
                 r'got \[30, 20\]'),
    'rle_sum': (_rle([20, 30], [1, 2, 3]),
                'annotation 5: .*sum to the 600 pixels.*got 6'),
    'rle_kind': (_rle([20, 30], None), '`counts` of an RLE must be a string'),
    'rle_float': (_rle([20, 30], [1., 599.]), '`counts` of an RLE must be a'),
    'rle_negative': (_rle([20, 30], [601, -1]), 'annotation 5: .*number 1'),
    'rle_damaged': (_rle([20, 30], 'P'), 'annotation 5: .*damaged or cut off'),
    'rle_letters': (_rle([20, 30], '\t~é'), 'annotation 5: .*damaged'),
    'rle_huge': (_rle([20, 30], 'o' * 30 + '0'), 'annotation 5: .*damaged'),
}
WARNINGS = {
    'same_file': (_item('images', 1, file_name='a.jpg'), 'image 0 has the '
                  "`file_name` of the image at index 0, 'a.jpg'"),
    'same_name': (_item('categories', 1, name='bolt'), 'category 7 has the'),
    'no_annotations': (lambda d: d['annotations'].clear(), 'background'),
    'zero_id': (_annotation(id=0), 'annotation 0: pycocotools takes the id 0'),
    'zero_box': (_annotation(bbox=[2, 3, 7, 0]), 'annotation 5: `bbox` has no '
                 'area'),
    'zero_area': (_annotation(area=0), 'annotation 5: `area` is 0'),
    'corners': (_annotation(bbox=[20, 13, 29, 18]),
                'annotation 5: `bbox` .* leaves the image of 30 x 20 px'),
    'outside': (_polygon(-2, 3, 4, 5, 6, 7),
                'annotation 5: polygon 1 leaves the image.*x from -2 to 6'),
    'below': (_polygon(2, 3, 4, 22, 6, 7), 'polygon 1 leaves.*from 3 to 22'),
    'line': (_polygon(1, 2, 3, 2, 5, 2), 'annotation 5: polygon 1 has no ar'),
    'no_pixels': (_rle([20, 30], [600]), 'annotation 5: the RLE has no pix'),
}


def test_good_file_has_no_problems():
    assert find_problems(_good(), self_intersections=True) == ([], [])


@pytest.mark.parametrize('name', ERRORS)
def test_errors(name):
    damage, match = ERRORS[name]
    data = _good()
    damage(data)
    errors, _ = find_problems(data)
    assert errors
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(errors[0])


@pytest.mark.parametrize('name', WARNINGS)
def test_warnings(name):
    damage, match = WARNINGS[name]
    data = _good()
    damage(data)
    errors, warnings = find_problems(data)
    assert not errors and len(warnings) == 1
    with pytest.raises(AssertionError, match=match):
        raise AssertionError(warnings[0])


@pytest.mark.parametrize('data', [None, [], 3, 'text', [dict(image_id=1)]])
def test_other_content(data):
    (error, ), _ = find_problems(data)
    assert 'must hold an object' in error


def test_crossing_is_a_warning_on_request():
    data = _good()
    _polygon(1, 1, 9, 9, 9, 1, 1, 9)(data)
    assert find_problems(data) == ([], [])
    _, (warning, ) = find_problems(data, self_intersections=True)
    assert 'annotation 5: polygon 1 crosses itself' in warning


def _slow_crossing(points):
    """Parameters of the crossing of each two edges, by Cramer's rule."""
    n = len(points)
    for i in range(n):
        for j in range(i):
            p, q = points[i], points[j]
            r, s = points[(i + 1) % n] - p, points[(j + 1) % n] - q
            det = r[0] * s[1] - r[1] * s[0]
            if det == 0:
                continue
            d = q - p
            t = (d[0] * s[1] - d[1] * s[0]) / det
            u = (d[0] * r[1] - d[1] * r[0]) / det
            if 0 < t < 1 and 0 < u < 1:
                return True
    return False


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3,
        max_size=8))
def test_crossing_equals_a_slow_loop(points):
    points = np.array(points, np.float64)
    assert crosses_itself(points) == _slow_crossing(points)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 90), st.integers(1, 70), st.data())
def test_counts_equal_those_of_the_pixels(height, width, data):
    seed = data.draw(st.integers(0, 999))
    share = data.draw(st.sampled_from([0., .01, .5, .97, 1.]))
    mask = np.random.default_rng(seed).random((height, width)) < share
    expected, last = [0], False
    for pixel in mask.ravel(order='F'):
        if pixel != last:
            expected.append(0)
            last = pixel
        expected[-1] += 1
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert rle_counts(rle['counts']).tolist() == expected
    assert rle_counts(rle['counts'].decode()).tolist() == expected


def _prediction(**changes):
    item = dict(
        image_id=4, category_id=7, score=0.5, segmentation=[list(SQUARE)])
    return {**item, **changes}


@pytest.mark.parametrize('item, match', [
    (3, 'prediction at index 1 must be an object'),
    (_prediction(image_id=9), 'index 1: `image_id`.*got 9'),
    (_prediction(category_id=1), r'index 1: `category_id`.*\(0, 7\), got 1'),
    (_prediction(score=NAN), 'index 1: `score` must be a finite.*nan'),
    (_prediction(score=None), 'index 1: `score` must be a finite.*nothing'),
    (_prediction(segmentation=None), 'index 1: `segmentation` must be'),
    (_prediction(segmentation=dict(size=[11, 13], counts=[143])),
     r'index 1: `size` of the RLE.*\[20, 30\]'),
])
def test_predictions(tmp_path, item, match):
    path = tmp_path / 'r.json'
    path.write_text(json.dumps([_prediction(), item]))
    with pytest.raises(ValueError, match=f'(?s)r.json has 1 error.*{match}'):
        read_coco_results(path, _good())
    path.write_text(json.dumps([_prediction()]))
    assert read_coco_results(path, _good()) == [_prediction()]
    (problem, ) = iter_result_problems(_good(), _good())
    assert 'must be a list' in problem.message


def test_reading_shows_five_errors_and_counts_the_rest(tmp_path):
    data = _good()
    one = data['annotations'][0]
    data['annotations'] = [
        dict(copy.deepcopy(one), id=i, category_id=2) for i in range(1, 10)
    ]
    (tmp_path / 'x.json').write_text(json.dumps(data))
    with pytest.raises(ValueError) as caught:
        read_coco(tmp_path / 'x.json')
    lines = str(caught.value).splitlines()
    assert lines[0].endswith('x.json has 9 errors:')
    assert [line.split(':')[0] for line in lines[1:6]
            ] == [f'  annotation {i}' for i in range(1, 6)]
    assert lines[6] == '  ... and 4 more'


@pytest.mark.parametrize('text, match', [
    ('{"images": [\n {"id": 1, "file_na', 'line 2, column 12: .*cut off'),
    ('{"images": [\n {"id": 1}', 'line 2, column 11: .*cut off'),
    ('', 'line 1, column 1: .*cut off'),
    ('{"images": [,]}', r'line 1, column 13: [^.]*\.$'),
    ('\udcff{}'.encode('utf-8', 'surrogateescape'), 'no valid JSON'),
])
def test_bad_json_is_located(tmp_path, text, match):
    path = tmp_path / 'bad.json'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=f'bad.json is no valid JSON.*{match}'
                       if 'no valid' not in match else match):
        read_coco(path)
    with pytest.raises(FileNotFoundError, match='There is no file .*none'):
        read_coco(tmp_path / 'none.json')


@pytest.mark.parametrize('name', ['nuclei/val', 'coco_mini/train'])
def test_real_files_are_good(name):
    folder = shared_data(name.split('/')[0])
    if folder is None:
        pytest.skip(f'shared/data/{name} is absent')
    data = read_coco(folder.parent / f'{name}.json')
    errors, warnings = find_problems(data)
    assert not errors and not warnings
