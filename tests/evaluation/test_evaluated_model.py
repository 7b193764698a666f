"""Numbers of a model, against pycocotools and faster-coco-eval."""
import contextlib
import copy
import io
import json

import numpy as np
import pytest
from faster_coco_eval import COCO as FasterCOCO
from faster_coco_eval import COCOeval_faster
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmseghead.evaluation.coco_files import read_annotations, read_results
from mmseghead.evaluation.evaluated_model import (Settings, band_numbers,
                                                  confusion, error_numbers,
                                                  evaluate, precision_numbers)
from mmseghead.testing.coco_scene import random_coco


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('scenes')


def read(folder, annotations, results, **options):
    for name, data in (('truth', annotations), ('found', results)):
        (folder / f'{name}.json').write_text(json.dumps(data))
    truth = read_annotations(folder / 'truth.json')
    found = read_results(folder / 'found.json', truth)
    return truth, evaluate(truth, found.found, Settings(**options))


def reference(annotations, results, kind, faster, max_dets=100):
    """Return name -> AP of the tools everybody uses."""
    index, evaluator = (FasterCOCO, COCOeval_faster) if faster else (
        COCO, COCOeval)
    if kind != 'bbox':
        # With a box, pycocotools takes its area for that of the mask.
        results = [{k: v for k, v in r.items() if k != 'bbox'}
                   for r in results]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = index()
        truth.dataset = copy.deepcopy(annotations)
        truth.createIndex()
        run = evaluator(truth, truth.loadRes(copy.deepcopy(results)), kind)
        run.params.maxDets = [1, 2, max_dets]
        run.evaluate()
        run.accumulate()
    table = np.asarray(run.eval['precision'])[..., 2]  # (T, R, K, A)

    def mean(part):
        return part[part > -1].mean() if (part > -1).any() else np.nan

    names = ('mask AP', 'mask AP50', 'mask AP75')
    parts = (table[..., 0], table[0, ..., 0], table[5, ..., 0])
    numbers = dict(zip(names, map(mean, parts)))
    numbers.update({f'mask AP {size}': mean(table[..., a])
                    for a, size in enumerate(('small', 'medium', 'large'), 1)})
    numbers.update({name: mean(table[:, :, k, 0])
                    for k, name in enumerate(('two', 'five', 'nine'))})
    return numbers


def overall_numbers(model, weights):
    return precision_numbers(model, ('two', 'five', 'nine'), weights)[0]


def one(numbers):
    return {key: value[0] for key, value in numbers.items()}


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10**6))
def test_numbers_equal_both_tools(folder, seed):
    annotations, results = random_coco(seed, boxes=True)
    if not results or not annotations['annotations']:
        return
    truth, model = read(folder, annotations, results)
    weights = np.ones((1, 5))
    mine, classes = map(one, precision_numbers(
        model, truth.classes, weights))
    for faster in (False, True):
        masks = reference(annotations, results, 'segm', faster)
        for key, value in {**mine, **classes}.items():
            if key in masks:
                assert value == pytest.approx(masks[key], abs=1e-9,
                                              nan_ok=True), (key, faster)
        boxes = reference(annotations, results, 'bbox', faster)
        assert mine['box AP'] == pytest.approx(boxes['mask AP'], abs=1e-9,
                                               nan_ok=True)
    edges = reference(annotations, results, 'boundary', True)
    assert mine['boundary AP'] == pytest.approx(edges['mask AP'], abs=1e-9,
                                                nan_ok=True)


def test_detections_are_limited_by_class(folder):
    annotations, results = random_coco(8)
    _, model = read(folder, annotations, results, max_dets=3)
    assert max((item.labels == k).sum() for item in model.found
               for k in range(3)) == 3
    mine = one(overall_numbers(model, np.ones((1, 5))))
    expected = reference(annotations, results, 'segm', False, max_dets=3)
    assert mine['mask AP'] == pytest.approx(expected['mask AP'], abs=1e-9)


def copies(annotations, results, weights):
    """Repeat each image as often as its weight says, under new ids."""
    images, truth, found = [], [], []
    for image, weight in zip(
            sorted(annotations['images'], key=lambda i: i['id']), weights):
        for n in range(weight):
            number = 1000 * image['id'] + n
            images.append(dict(image, id=number))
            for items, target in ((annotations['annotations'], truth),
                                  (results, found)):
                target += [dict(item, image_id=number) for item in items
                           if item['image_id'] == image['id']]
    truth = [dict(item, id=i) for i, item in enumerate(truth, 1)]
    return dict(annotations, images=images, annotations=truth), found


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 10**6))
def test_weights_equal_copied_images(folder, seed):
    annotations, results = random_coco(seed)
    weights = np.random.default_rng(seed).integers(0, 4, 5)
    weights[0] = max(weights[0], 1)
    truth, model = read(folder, annotations, results)
    copied = read(folder, *copies(annotations, results, weights))
    again = np.ones((1, weights.sum()))
    for function in (overall_numbers, error_numbers):
        mine = one(function(model, weights[None]))
        expected = one(function(copied[1], again))
        assert mine == pytest.approx(expected, abs=1e-9, nan_ok=True)
    mine = one(band_numbers(truth, [model] * 2, weights[None])[0][0])
    # The score of the best F1 may be another one there.
    if copied[1].threshold == model.threshold:
        expected = one(band_numbers(
            copied[0], [copied[1]] * 2, again)[0][0])
        assert mine == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_no_error_types_are_left_without_errors(folder):
    annotations, _ = random_coco(4, crowds=False)
    perfect = [dict(image_id=a['image_id'], category_id=a['category_id'],
                    segmentation=a['segmentation'], score=0.5 + 0.01 * a['id'])
               for a in annotations['annotations']]
    truth, model = read(folder, annotations, perfect)
    weights = np.ones((1, 5))
    assert one(overall_numbers(model, weights))['mask AP'] == \
        pytest.approx(1)
    assert set(one(error_numbers(model, weights)).values()) == {0}
    table = confusion(truth, model)
    assert table.sum() == np.trace(table) == len(perfect)
    bands, counts = band_numbers(truth, [model] * 2, weights)
    assert set(np.concatenate(list(bands[0].values()))) <= {1.0} or \
        np.nanmin(np.concatenate(list(bands[0].values()))) == 1
    assert counts[0]['whole mask'] == len(perfect)


def test_a_class_with_nothing_left_to_find_gains_nothing(folder):
    annotations, _ = random_coco(4, crowds=False)
    found = [dict(image_id=a['image_id'], category_id=2,
                  segmentation=a['segmentation'], score=0.01 * a['id'])
             for a in annotations['annotations'] if a['category_id'] == 2]
    _, model = read(folder, annotations, found)
    weights = np.ones((1, 5))
    assert one(overall_numbers(model, weights))['mask AP50'] == 0.5
    assert one(error_numbers(model, weights))['missed'] == 0


def test_the_gain_starts_from_average_precision(folder):
    annotations, results = random_coco(6)
    _, model = read(folder, annotations, results)
    weights = np.ones((1, 5))
    gains = one(error_numbers(model, weights))
    start = one(overall_numbers(model, weights))['mask AP50']
    # Without false positives and negatives all would be right; each alone
    # cannot give more than what is missing.
    assert all(0 <= gain <= 1 - start + 1e-12 for gain in gains.values())
    assert gains['all false negatives'] >= gains['missed'] > 0


@pytest.mark.parametrize('options, message', [
    (dict(max_dets=0), '`max_dets` .* an int >= 1, got 0'),
    (dict(resamples=1.5), '`resamples` .* an int >= 1, got 1.5'),
    (dict(confidence=1.0), '`confidence` .* between 0 and 1, got 1.0'),
    (dict(dilation_ratio=0), '`dilation_ratio` .* between 0 and 1, got 0'),
])
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        Settings(**options)
