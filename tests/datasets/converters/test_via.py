"""VIA's projects and exports to COCO JSON."""
import copy
import csv
import json

import cv2
import numpy as np
import pytest

from mmseghead.datasets.coco_json import read_coco
from mmseghead.datasets.converters import via_to_coco

SHAPES = [
    dict(name='polygon', all_points_x=[1, 9, 9, 1], all_points_y=[2, 2, 7, 7]),
    dict(name='rect', x=12, y=3, width=6, height=4),
    dict(name='circle', cx=30, cy=12, r=6),
    dict(name='ellipse', cx=50, cy=14, rx=9.5, ry=4, theta=1.5707963267948966),
    dict(name='point', cx=3, cy=3),
    dict(name='polyline', all_points_x=[1, 9], all_points_y=[2, 2]),
]
KINDS = ['nut', 'bolt', 'bolt', 'nut', 'nut', 'bolt']


def _regions(shapes=SHAPES, kinds=KINDS):
    return [
        dict(shape_attributes=shape, region_attributes=dict(kind=kind))
        for shape, kind in zip(shapes, kinds)
    ]


def _export(regions=None):
    regions = _regions() if regions is None else regions
    return {
        'a.png123': dict(
            filename='a.png', size=123, regions=regions, file_attributes={}),
        'b.png45': dict(
            filename='b.png', size=45, regions=[], file_attributes={})
    }


def _via3():
    views = {str(i): dict(fid_list=[i + 3]) for i in range(2)}
    return dict(
        project=dict(data_format_version='3.1.1', vid_list=['0', '1']),
        config={},
        attribute={
            '1': dict(aname='kind', type=3, options=dict(n='nut', b='bolt'))
        },
        file={
            '3': dict(fid=3, fname='a.png', src='a.png'),
            '4': dict(fid=4, fname='b.png', src='b.png')
        },
        view=views,
        metadata={
            f'0_{i}': dict(vid='0', flg=0, z=[], xy=xy, av={'1': kind[0]})
            for i, (xy, kind) in enumerate(
                zip(([7, 1, 2, 9, 2, 9, 7, 1, 7], [2, 12, 3, 6, 4],
                     [3, 30, 12, 6], [4, 50, 14, 4, 9.5], [1, 3, 3],
                     [6, 1, 2, 9, 2]), KINDS))
        } | {'1_x': dict(vid='1', flg=0, z=[], xy=[], av={})})


def _write_csv(path, rows):
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow([
            '#filename', 'file_size', 'file_attributes', 'region_count',
            'region_id', 'region_shape_attributes', 'region_attributes'
        ])
        for i, (name, shape, attributes) in enumerate(rows):
            writer.writerow(
                [name, 1, '{}', len(rows), i, shape, attributes])


def _write(folder, kind, content=None):
    """Write two pictures and a file of the kind; return its path."""
    (folder / 'images').mkdir(exist_ok=True)
    for name in 'ab':
        cv2.imwrite(
            str(folder / f'images/{name}.png'), np.zeros((25, 64), np.uint8))
    path = folder / ('via.csv' if kind == 'csv' else 'via.json')
    if kind == 'csv':
        rows = [('a.png', json.dumps(r['shape_attributes']),
                 json.dumps(r['region_attributes'])) for r in _regions()]
        _write_csv(path, content or rows + [('b.png', '{}', '{}')])
        return path
    if content is None:
        content = dict(
            export=_export(),
            via1=_export({str(i): r
                          for i, r in enumerate(_regions())}),
            project=dict(
                _via_settings={},
                _via_img_metadata=_export(),
                _via_attributes={}),
            via3=_via3())[kind]
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize('kind', ['export', 'via1', 'project', 'via3', 'csv'])
def test_golden_shapes(tmp_path, kind):
    path = _write(tmp_path, kind)
    report = via_to_coco(path, tmp_path / 'images', tmp_path / 'out.json')
    data = read_coco(tmp_path / 'out.json')
    assert [i['file_name'] for i in data['images']] == ['a.png', 'b.png']
    assert data['images'][0]['height'], data['images'][0]['width'] == (25, 64)
    assert [c['name'] for c in data['categories']] == ['bolt', 'nut']
    polygon, rect, circle, ellipse = data['annotations']
    assert [a['category_id'] for a in data['annotations']] == [2, 1, 1, 2]
    assert polygon['segmentation'] == [[1, 2, 9, 2, 9, 7, 1, 7]]
    assert (rect['area'], rect['bbox']) == (24, [12, 3, 6, 4])
    assert circle['bbox'] == [24, 6, 12, 12]
    assert circle['area'] == pytest.approx(np.pi * 36, rel=0.03)
    # Turned by a quarter: 9.5 is upright.
    x, y, width, height = ellipse['bbox']
    assert (x, width) == (46, 8) and 18 <= height <= 20
    assert ellipse['area'] == pytest.approx(np.pi * 4 * 9.5, rel=0.03)
    assert [n.rsplit(' ', 1)[1] for n in report.losses['skipped']
            ] == ['point', 'polyline']
    assert report.losses['no_labels'] == ['b.png']


def test_classes(tmp_path):
    path = _write(tmp_path, 'export')
    images, target = tmp_path / 'images', tmp_path / 'out.json'
    via_to_coco(path, images, target, classes=['nut', 'x', 'bolt'])
    ids = [a['category_id'] for a in read_coco(target)['annotations']]
    assert ids == [1, 3, 3, 1]
    with pytest.raises(ValueError, match=r"'a.png123', region 1: the class "
                       "must be one of nut, bolts; got 'bolt'"):
        via_to_coco(path, images, target, classes=['nut', 'bolts'])
    with pytest.raises(ValueError, match=r"`attribute` must be one of "
                       r"\['kind'\].*'name'"):
        via_to_coco(path, images, target, attribute='name')
    regions = _regions()
    for region in regions:
        kind = region['region_attributes']['kind']
        region['region_attributes'] = dict(
            kind={'nut': kind == 'nut', 'bolt': kind == 'bolt'}, colour='red')
    path = _write(tmp_path, 'export', _export(regions))
    with pytest.raises(ValueError, match=r"more than one region attribute .*"
                       r"\['colour', 'kind'\]"):
        via_to_coco(path, images, target)
    via_to_coco(path, images, target, attribute='kind')
    ids = [a['category_id'] for a in read_coco(target)['annotations']]
    assert ids == [2, 1, 1, 2]
    # Without attributes there is one class, to be named.
    for region in regions:
        region['region_attributes'] = {}
    path = _write(tmp_path, 'export', _export(regions))
    with pytest.raises(ValueError, match='no region attribute could tell'):
        via_to_coco(path, images, target)
    via_to_coco(path, images, target, classes=['thing'])
    assert len(read_coco(target)['annotations']) == 4


def _shape(index, **changes):

    def change(content):
        region = content['a.png123']['regions'][index]
        region['shape_attributes'].update(changes)

    return change


def _region(index, **changes):

    def change(content):
        content['a.png123']['regions'][index].update(changes)

    return change


BAD = {
    'no_name': (_shape(1, name=None), 'region 1 must have `shape_attributes`'),
    'no_shape': (_region(1, shape_attributes=3), 'region 1 must have'),
    'two_points': (_shape(0, all_points_x=[1, 2], all_points_y=[1, 2]),
                   'region 0: a polygon must have .* got 2 and 2'),
    'odd': (_shape(0, all_points_x=[1, 2, 3]), 'region 0: .* got 3 and 4'),
    'nan': (_shape(0, all_points_x=[1, 2, 3, float('nan')]),
            'region 0: `all_points_x` must be a list of finite numbers'),
    'no_width': (_shape(1, width=None), 'region 1: `width` of a rect must be'),
    'text': (_shape(2, r='6'), "region 2: `r` of a circle must be .*'6'"),
    'radius': (_shape(2, r=0), 'region 2: the radius of a circle must be > 0'),
    'no_class': (_region(3, region_attributes={}),
                 "region 3: the attribute 'kind' must hold one class name"),
    'two_classes': (_region(3, region_attributes=dict(kind=dict(a=1, b=1))),
                    "region 3: .*'kind' must hold one class name"),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_regions_are_named_and_nothing_is_written(tmp_path, name):
    damage, match = BAD[name]
    content = copy.deepcopy(_export())
    damage(content)
    path = _write(tmp_path, 'export', content)
    with pytest.raises(ValueError, match=f"via.json: image 'a.png123', "
                       f'{match}'):
        via_to_coco(path, tmp_path / 'images', tmp_path / 'out.json')
    assert not (tmp_path / 'out.json').exists()


@pytest.mark.parametrize('content, match', [
    ([], 'via.json is no file of VIA'),
    ({}, 'via.json lists no images'),
    (dict(images=[], annotations=[]), "image 'images' must be an object"),
    (dict(x=dict(filename='a.png', regions=3)), "'x': `regions` must be a"),
    (dict(x=dict(filename='a.png'), y=dict(filename='a.png')),
     "'y': .*'a.png' more than once"),
    (dict(view={'0': dict(fid_list=[5])}, metadata={}, file={}),
     "via.json is no project of VIA 3: .*'5'"),
])
def test_other_content(tmp_path, content, match):
    path = _write(tmp_path, 'export', content)
    with pytest.raises(ValueError, match=match):
        via_to_coco(path, tmp_path / 'images', tmp_path / 'out.json')


def test_bad_files(tmp_path):
    path = _write(tmp_path, 'export')
    images, target = tmp_path / 'images', tmp_path / 'out.json'
    (images / 'b.png').unlink()
    with pytest.raises(FileNotFoundError, match="'b.png45': there is no image"
                       '.*b.png'):
        via_to_coco(path, images, target)
    path.write_text(path.read_text()[:99])
    with pytest.raises(ValueError, match='via.json is no valid JSON: line 1'):
        via_to_coco(path, images, target)
    with pytest.raises(FileNotFoundError, match='There is no file'):
        via_to_coco(tmp_path / 'none.csv', images, target)
    good = json.dumps(SHAPES[0])
    for row, match in (
        (('a.png', '{"name"', '{}'), 'via.csv, line 3: `region_shape_attrib'),
        (('a.png', good, '[]'), 'via.csv, line 3: .* must be a JSON object'),
        (('a.png', '{"name": 3}', '{}'), 'via.csv, line 3 must have `shape_'),
    ):
        path = _write(tmp_path, 'csv', [('a.png', good, '{"kind": "x"}'), row])
        with pytest.raises(ValueError, match=match):
            via_to_coco(path, images, target)
    path.write_text('name,x\n')
    with pytest.raises(ValueError, match='is no CSV of VIA: .*filename'):
        via_to_coco(path, images, target)
    assert not target.exists()
