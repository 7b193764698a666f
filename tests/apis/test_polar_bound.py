"""The upper bound of rays: worked shapes, a COCO file, pictures."""
import json

import cv2
import numpy as np
import pytest

from mmseghead.apis import polar_bound
from mmseghead.datasets.coco_json import mask_to_annotation

N = (18, 24, 36, 72, 90, 120)


def shape(name):
    """The 256 px shapes of the spec."""
    ys, xs = np.mgrid[:256, :256] - 128
    if name == 'disk':
        return (xs**2 + ys**2 <= 60**2).astype(np.uint8)
    if name == 'ellipse':
        return ((xs / 90)**2 + (ys / 30)**2 <= 1).astype(np.uint8)
    if name == 'star':
        limit = 70 * (1 + .45 * np.cos(5 * np.arctan2(ys, xs)))
        return (np.hypot(xs, ys) <= limit).astype(np.uint8)
    mask = np.zeros((256, 256), np.uint8)
    mask[60:201, 60:111] = mask[150:201, 60:201] = 1
    return mask


@pytest.mark.parametrize('name, center, expected', [
    ('disk', 0, (.978, .981, .984, .985, .985, .985)),
    ('ellipse', 0, (.931, .955, .970, .974, .976, .975)),
    ('L', 0, (.904, .939, .939, .941, .952, .942)),
    ('L', 1, (.823, .846, .855, .847, .837, .840)),
    ('star', 0, (.836, .900, .949, .965, .966, .965)),
])
def test_worked_shapes(name, center, expected):
    for n, value in zip(N, expected):
        iou, = polar_bound.mask_overlaps([shape(name)], n,
                                         polar_bound.CENTERS[center], False,
                                         True)
        assert iou == pytest.approx(value, abs=.005), n


def test_mass_centers_of_worked_shapes():
    for name, center in (('L', [112, 147]), ('star', [127, 128])):
        points, ends = polar_bound.mask_rays([shape(name)], 36,
                                             polar_bound.CENTERS[0], False)
        assert points.tolist() == [center] and ends.shape == (1, 2, 36)


@pytest.fixture
def ann_file(tmp_path):
    """Two images, two classes, a crowd and an empty image."""
    names = ('disk', 'L', 'star')
    annotations = [
        dict(mask_to_annotation(shape(name) > 0), id=k + 1, image_id=1 + k % 2,
             category_id=1 + (name == 'disk'), iscrowd=0)
        for k, name in enumerate(names)
    ]
    annotations.append(dict(annotations[0], id=9, iscrowd=1))
    data = dict(
        images=[dict(id=k, file_name=f'{k}.png', height=256, width=256)
                for k in (1, 2, 3)],
        annotations=annotations,
        categories=[dict(id=1, name='other'), dict(id=2, name='round')])
    path = tmp_path / 'set.json'
    path.write_text(json.dumps(data))
    for k in (1, 2, 3):
        cv2.imwrite(str(tmp_path / f'{k}.png'),
                    np.full((256, 256, 3), 90, np.uint8))
    return path


def test_means_by_class_and_in_all(ann_file):
    bound = polar_bound.polar_bound(str(ann_file), [18, 36])
    assert bound.instances == dict(other=2, round=1)
    mass = bound.ious['mass centre']
    assert mass[36]['round'] == pytest.approx(.984, abs=.005)
    assert mass[36]['other'] == pytest.approx((.939 + .949) / 2, abs=.005)
    assert bound.mean('mass centre', 18) == pytest.approx(
        (.978 + .904 + .836) / 3, abs=.005)
    exact = polar_bound.polar_bound(
        str(ann_file), [36], exact=True, truncate=False)
    assert exact.ious['mass centre'][36]['round'] > mass[36]['round'] + .004


def test_pictures(ann_file, tmp_path):
    written = polar_bound.draw_polar_targets(
        str(ann_file), str(tmp_path), str(tmp_path / 'out'), num=2)
    assert [path.name for path in written] == ['1.png', '3.png']
    drawn, empty = (cv2.imread(str(path)) for path in written)
    assert drawn.shape == (1280, 1280, 3) and (empty == 90).all()
    # The disk's first ray points down, the tenth to the right.
    changed = (drawn != 90).any(2)
    assert changed[940, 636:646].any() and changed[636:646, 940].any()
    assert not changed[:125].any() and not changed[:, 1175:].any()


def test_bad_input(ann_file, tmp_path):
    with pytest.raises(ValueError, match='divisors of 360'):
        polar_bound.polar_bound(str(ann_file), [36, 7])
    with pytest.raises(FileNotFoundError, match='no annotation file'):
        polar_bound.polar_bound(str(tmp_path / 'none.json'), [36])
    with pytest.raises(FileNotFoundError, match='1.png is missing'):
        polar_bound.draw_polar_targets(
            str(ann_file), str(tmp_path / 'elsewhere'), str(tmp_path))
