"""Reading annotations and results, good ones and bad ones."""
import copy
import json
import random

import numpy as np
import pytest

from mmseghead.evaluation.coco_files import (read_annotations, read_results,
                                             with_mask_boxes)
from mmseghead.testing.coco_scene import SHAPE, encode, random_coco


@pytest.fixture
def scene(tmp_path):
    """Write annotations and results after a change, and read them."""
    annotations, results = random_coco(3, boxes=True)

    def read(change=lambda annotations, results: None):
        changed = copy.deepcopy((annotations, results))
        changed = change(*changed) or changed
        paths = [tmp_path / 'truth.json', tmp_path / 'found.json']
        for path, data in zip(paths, changed):
            path.write_text(json.dumps(data))
        truth = read_annotations(paths[0])
        return truth, read_results(paths[1], truth)

    return read


def test_everything_is_read(scene):
    annotations, results = random_coco(3, boxes=True)
    truth, found = scene()
    ids = sorted(image['id'] for image in annotations['images'])
    assert [image.id for image in truth.images] == ids
    assert {image.height for image in truth.images} == {SHAPE[0]}
    assert truth.classes == ('two', 'five', 'nine')
    assert truth.category_ids == [2, 5, 9]
    assert sum(len(t.labels) for t in truth.truth) == len(
        annotations['annotations'])
    assert len(found) == len(results) and found.has_boxes
    for i, image_id in enumerate(ids):
        mine = [a for a in annotations['annotations']
                if a['image_id'] == image_id]
        assert truth.truth[i].areas.tolist() == [a['area'] for a in mine]
        assert truth.truth[i].crowd.tolist() == [
            bool(a['iscrowd']) for a in mine]
        mine = sorted((r for r in results if r['image_id'] == image_id),
                      key=lambda r: -r['score'])
        assert found.found[i].scores.tolist() == [r['score'] for r in mine]
        assert found.found[i].boxes.tolist() == [r['bbox'] for r in mine]
        assert [truth.category_ids[k] for k in found.found[i].labels
                ] == [r['category_id'] for r in mine]


def same(one, other):
    """Compare nested tuples of arrays and lists."""
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_order_does_not_matter(scene):
    def tie(annotations, results):
        for result in results:
            result['score'] = round(result['score'], 1)

    def shuffle(annotations, results):
        tie(annotations, results)
        for items in (*annotations.values(), results):
            random.Random(1).shuffle(items)

    for one, other in zip(scene(tie), scene(shuffle)):
        for name in ('images', 'classes', 'truth', 'found'):
            if hasattr(one, name):
                assert same(getattr(one, name), getattr(other, name)), name


def test_area_and_box_may_be_missing(scene):
    def bare(annotations, results):
        for item in annotations['annotations']:
            del item['bbox'], item['area']
        del results[-1]['bbox']

    truth, found = scene(bare)
    whole, with_boxes = scene()
    assert not found.has_boxes
    for one, other in zip(truth.truth, whole.truth):
        assert np.array_equal(one.boxes, other.boxes)
    for one, other in zip(found.found, with_mask_boxes(with_boxes).found):
        assert np.array_equal(one.boxes, other.boxes)
        assert np.array_equal(one.areas, other.areas)


def test_ignored_instances_are_no_crowds(scene):
    def flag(annotations, results):
        for item in annotations['annotations']:
            item['iscrowd'] = 0
        annotations['annotations'][0]['ignore'] = 1

    truth, _ = scene(flag)
    assert truth.num_flagged == 1
    assert sum(int(t.ignored.sum()) for t in truth.truth) == 1
    assert not any(t.crowd.any() for t in truth.truth)


def test_no_predictions_and_no_annotations(scene):
    truth, found = scene(lambda a, r: (dict(a, annotations=[]), []))
    assert len(found) == 0 and found.has_boxes
    assert all(t.boxes.shape == (0, 4) for t in truth.truth)
    assert all(f.boxes.shape == (0, 4) for f in found.found)


def test_classes_of_one_name_stay_apart(scene):
    def rename(annotations, results):
        for category in annotations['categories'][:2]:
            category['name'] = 'thing'

    assert scene(rename)[0].classes == ('thing (2)', 'thing (5)', 'nine')


def edit(where, index=0, **changes):
    """Return a change that sets or (with None) deletes keys of an entry."""

    def change(annotations, results):
        items = results if where == 'results' else annotations[where]
        for key, value in changes.items():
            if value is None:
                del items[index][key]
            else:
                items[index][key] = value

    return change


def repeat(where):
    return lambda annotations, results: annotations[where].append(
        annotations[where][0])


SMALL = encode(np.ones((5, 4), bool))


@pytest.mark.parametrize('change, message', [
    (lambda a, r: ([], r), 'truth.json must be a COCO annotation file'),
    (lambda a, r: (dict(a, images=None), r), 'it lacks images'),
    (lambda a, r: (dict(a, images=[]), r), 'lists no images'),
    (repeat('images'), 'more than one image with id'),
    (repeat('annotations'), 'more than one annotation with id 1;'),
    (repeat('categories'), 'more than one category with id 5;'),
    (edit('images', height=None), 'must have an id and a height'),
    (edit('images', width=0), 'must have an id and a height'),
    (edit('categories', id='x'), 'must have an integer id'),
    (edit('annotations', image_id=99),
     r'Annotation 1 of .*truth.json has `image_id` 99, which .* lists 5:'),
    (edit('annotations', category_id=3),
     r'Annotation 1 .* `category_id` 3, .* It lists 3: 2, 5, 9'),
    (edit('annotations', 2, segmentation=SMALL),
     r'Annotation 3 .*\(image \d+\) must have an RLE of size .* \[5, 4\]'),
    (edit('annotations', segmentation=None), 'Annotation 1 .*`segmentation`'),
    (edit('annotations', bbox=[1, 2, 3]), 'Annotation 1 .*four finite'),
    (edit('annotations', bbox=[1, 2, 3, float('nan')]), 'four finite'),
    (lambda a, r: (a, a), 'must be a list .* got a dict. This is an annot'),
    (lambda a, r: (a, [3]), 'Entry 0 of .*found.json must be an object'),
    (edit('results', 1, image_id=99), 'Entry 1 .* has `image_id` 99'),
    (edit('results', 1, image_id=[1]), 'Entry 1 .* has `image_id` .1.'),
    (edit('results', 1, image_id=True), 'Entry 1 .* has `image_id` True'),
    (edit('results', 1, image_id=None), 'Entry 1 .* lacks `image_id`'),
    (edit('results', 2, category_id=0),
     'Entry 2 .* `category_id` 0, .* lists 3: 2, 5, 9. Do both belong'),
    (edit('results', score=float('nan')), 'Entry 0 .* `score`, got nan'),
    (edit('results', score=float('inf')), 'Entry 0 .* `score`, got inf'),
    (edit('results', score='0.5'), "Entry 0 .* `score`, got '0.5'"),
    (edit('results', score=None), 'Entry 0 .* `score`, got None'),
    (edit('results', 3, segmentation=None),
     r'Entry 3 .* must have a `segmentation`.* file of boxes \(.bbox.json\)'),
    (edit('results', 3, segmentation=SMALL),
     r'Entry 3 .* size \[height, width\] = \[37, 52\] .* got \[5, 4\]'),
    (edit('results', bbox=[1, 2]), 'Entry 0 .*four finite numbers'),
])
def test_bad_entries_are_named(scene, change, message):
    with pytest.raises(ValueError, match=message):
        scene(change)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no file .*none.json'):
        read_annotations(tmp_path / 'none.json')
    cut = tmp_path / 'cut.json'
    cut.write_text('{"images": [')
    with pytest.raises(ValueError, match='cut.json is no valid JSON: .*line'):
        read_annotations(cut)
    cut.write_bytes(b'\x80\xff')
    with pytest.raises(ValueError, match='cut.json is no valid JSON'):
        read_annotations(cut)
