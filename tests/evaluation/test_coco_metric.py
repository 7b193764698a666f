"""Our COCO metric equals pycocotools on the same predictions."""
import contextlib
import copy
import io
import json
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmdet.evaluation import CocoMetric as UpstreamCocoMetric
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmseghead.evaluation.metrics import CocoMetric
from mmseghead.testing.paths import shared_data

CLASSES = ('cat', 'dog', 'emu')
CATEGORY_IDS = (7, 3, 90)
HEIGHT, WIDTH = 120, 144


def _square(y, x, h, w):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[max(y, 0):y + h, max(x, 0):x + w] = True
    return mask


def _encode(mask):
    rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
    return dict(size=list(rle['size']), counts=rle['counts'].decode())


def _ground_truth(rng, num_images):
    """COCO dict with squares of three sizes, some of them crowds."""
    images, annotations = [], []
    for image_id in range(11, 11 + num_images):
        images.append(
            dict(id=image_id, height=HEIGHT, width=WIDTH, file_name='x.png'))
        for _ in range(rng.integers(0, 6)):
            side = int(rng.choice([9, 40, 99]))
            mask = _square(
                int(rng.integers(0, 110 - side + 10)),
                int(rng.integers(0, 134 - side + 10)), side, side)
            rle = _encode(mask)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=int(rng.choice(CATEGORY_IDS)),
                    iscrowd=int(rng.random() < 0.15),
                    area=int(mask.sum()),
                    bbox=mask_api.toBbox(rle).tolist(),
                    segmentation=rle))
    categories = [
        dict(id=i, name=name) for i, name in zip(CATEGORY_IDS, CLASSES)
    ]
    return dict(images=images, annotations=annotations, categories=categories)


def _perturb(rng, mask):
    shift = rng.integers(-3, 4, 2)
    return np.roll(mask, shift, axis=(0, 1))


def _predictions(rng, truth, keep=0.8, relabel=0.2):
    """Data samples: ground truth moved, dropped, relabelled, repeated."""
    labels_of = {c['id']: i for i, c in enumerate(truth['categories'])}
    samples = []
    for image in truth['images']:
        shape = image['height'], image['width']
        masks, labels = [], []
        for annotation in truth['annotations']:
            if annotation['image_id'] != image['id']:
                continue
            for _ in range(rng.integers(1, 3)):
                mask = mask_api.decode(annotation['segmentation'])
                masks.append(_perturb(rng, mask.astype(bool)))
                label = labels_of[annotation['category_id']]
                if rng.random() < relabel:
                    label = int(rng.integers(0, len(labels_of)))
                labels.append(label)
        kept = rng.random(len(masks)) < keep
        samples.append(
            _sample(image['id'], shape,
                    [m for m, k in zip(masks, kept) if k],
                    [n for n, k in zip(labels, kept) if k], rng))
    return samples


def _sample(image_id, shape, masks, labels, rng):
    count = len(masks)
    boxes = np.zeros((count, 4))
    for i, mask in enumerate(masks):
        x, y, w, h = mask_api.toBbox(_encode(mask))
        boxes[i] = x, y, x + w, y + h
    boxes += rng.normal(0, 0.5, boxes.shape)
    # Coarse scores, so that ties occur.
    scores = np.round(rng.random(count), 1)
    return dict(
        img_id=image_id,
        ori_shape=shape,
        pred_instances=dict(
            bboxes=torch.tensor(boxes, dtype=torch.float32),
            scores=torch.tensor(scores, dtype=torch.float32),
            labels=torch.tensor(labels, dtype=torch.long),
            masks=torch.tensor(
                np.array(masks, dtype=bool).reshape(count, *shape))))


def _evaluate(metric, samples, classes=CLASSES):
    metric.dataset_meta = dict(classes=classes)
    for sample in samples:
        metric.process({}, [copy.deepcopy(sample)])
    return metric.evaluate(len(samples))


def _reference(path, samples, iou_type, limits=(100, 300, 1000)):
    """The twelve numbers from pycocotools, called as its README says."""
    results = []
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(path)
        ids = [c['id'] for c in truth.dataset['categories']]
        for sample in samples:
            pred = sample['pred_instances']
            for i, label in enumerate(pred['labels'].tolist()):
                x1, y1, x2, y2 = pred['bboxes'][i].tolist()
                entry = dict(
                    image_id=sample['img_id'],
                    category_id=ids[label],
                    score=pred['scores'][i].item())
                if iou_type == 'bbox':
                    entry['bbox'] = [
                        x1, y1, float(np.float32(x2) - np.float32(x1)),
                        float(np.float32(y2) - np.float32(y1))
                    ]
                else:
                    entry['segmentation'] = _encode(pred['masks'][i].numpy())
                results.append(entry)
        run = COCOeval(truth, truth.loadRes(results), iou_type)
        run.params.maxDets = list(limits)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return run.stats


NAMES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l', 'AR@100',
         'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000')


def _assert_equal(numbers, reference, iou_type, names=NAMES):
    ours = [numbers[f'coco/{iou_type}_{name}'] for name in names]
    np.testing.assert_allclose(ours, reference, rtol=0, atol=1e-9)


def _write(folder, truth):
    path = folder / 'truth.json'
    path.write_text(json.dumps(truth))
    return str(path)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32 - 1), st.sampled_from(['faster', 'pycocotools']))
def test_random_predictions(tmp_path, seed, backend):
    rng = np.random.default_rng(seed)
    truth = _ground_truth(rng, 7)
    samples = _predictions(rng, truth)
    if not any(len(s['pred_instances']['labels']) for s in samples):
        return
    path = _write(tmp_path, truth)
    numbers = _evaluate(CocoMetric(path, backend=backend), samples)
    assert len(numbers) == 24
    for iou_type in ('bbox', 'segm'):
        _assert_equal(numbers, _reference(path, samples, iou_type), iou_type)


def test_more_detections_than_the_first_limit(tmp_path):
    """The first AP counts 100 per image, the others up to 1000."""
    rng = np.random.default_rng(8)
    masks = [
        _square(y, x, 5, 6) for y in range(0, 112, 8)
        for x in range(0, 136, 9)
    ]
    assert len(masks) > 200
    truth = dict(
        images=[dict(id=5, height=HEIGHT, width=WIDTH, file_name='x.png')],
        categories=[dict(id=2, name='cat')],
        annotations=[
            dict(
                id=i, image_id=5, category_id=2, iscrowd=0, area=30,
                bbox=mask_api.toBbox(_encode(mask)).tolist(),
                segmentation=_encode(mask)) for i, mask in enumerate(masks, 1)
        ])
    path = _write(tmp_path, truth)
    found = _sample(5, (HEIGHT, WIDTH), masks, [0] * len(masks), rng)
    numbers = _evaluate(CocoMetric(path), [found], ('cat', ))
    assert numbers['coco/segm_mAP'] < numbers['coco/segm_mAP_50'] == 1.0
    for iou_type in ('bbox', 'segm'):
        _assert_equal(numbers, _reference(path, [found], iou_type), iou_type)


@pytest.fixture(scope='module')
def nuclei(tmp_path_factory):
    """The twelve fullest images: more than 100 predictions on some."""
    root = shared_data('nuclei')
    if root is None:
        pytest.skip('shared/data/nuclei is absent')
    truth = json.loads((root / 'val.json').read_text())
    counts = Counter(a['image_id'] for a in truth['annotations'])
    chosen = {image_id for image_id, _ in counts.most_common(12)}
    truth['images'] = [i for i in truth['images'] if i['id'] in chosen]
    truth['annotations'] = [
        a for a in truth['annotations'] if a['image_id'] in chosen
    ]
    samples = _predictions(np.random.default_rng(0), truth)
    assert max(len(s['pred_instances']['labels']) for s in samples) > 100
    return _write(tmp_path_factory.mktemp('nuclei'), truth), samples


@pytest.mark.parametrize('limits', [(100, 300, 1000), (1, 10, 100)])
def test_real_nuclei(nuclei, limits):
    path, samples = nuclei
    metric = CocoMetric(path, proposal_nums=limits)
    numbers = _evaluate(metric, samples, ('nucleus', ))
    names = list(NAMES[:6]) + [f'AR@{n}' for n in limits
                               ] + [f'AR_{s}@{limits[-1]}' for s in 'sml']
    for iou_type in ('bbox', 'segm'):
        reference = _reference(path, samples, iou_type, limits)
        assert 0.05 < reference[0] < 0.95
        _assert_equal(numbers, reference, iou_type, names)


def test_agrees_with_upstream_to_its_three_digits(nuclei, capsys):
    path, samples = nuclei
    ours = _evaluate(CocoMetric(path), samples, ('nucleus', ))
    theirs = _evaluate(
        UpstreamCocoMetric(path, metric=['bbox', 'segm']), samples,
        ('nucleus', ))
    assert set(theirs) < set(ours)
    for key, value in theirs.items():
        assert ours[key] == pytest.approx(value, abs=5e-4)


@pytest.fixture
def truth_path(tmp_path):
    return _write(tmp_path, _ground_truth(np.random.default_rng(3), 5))


def _samples(path, seed=4):
    with open(path) as file:
        return _predictions(np.random.default_rng(seed), json.load(file))


def _without_predictions(path):
    samples = _samples(path)
    for sample in samples:
        pred = sample['pred_instances']
        for key, value in pred.items():
            pred[key] = value[:0]
    return samples


@pytest.mark.parametrize('backend', ['faster', 'pycocotools'])
def test_no_predictions_give_zeros(truth_path, backend):
    metric = CocoMetric(truth_path, classwise=True, backend=backend)
    numbers = _evaluate(metric, _without_predictions(truth_path))
    assert len(numbers) == 24 + 6
    assert numbers['coco/segm_mAP'] == numbers['coco/bbox_mAP_50'] == 0.0
    assert set(numbers.values()) <= {0.0, -1.0}


def test_perfect_predictions_give_one(tmp_path):
    truth = _ground_truth(np.random.default_rng(5), 6)
    for annotation in truth['annotations']:
        annotation['iscrowd'] = 0
    path = _write(tmp_path, truth)
    ids = list(CATEGORY_IDS)
    samples = []
    for image in truth['images']:
        found = [
            a for a in truth['annotations'] if a['image_id'] == image['id']
        ]
        masks = [mask_api.decode(a['segmentation']) for a in found]
        sample = _sample(image['id'], (HEIGHT, WIDTH), masks,
                         [ids.index(a['category_id']) for a in found],
                         np.random.default_rng(6))
        boxes = np.array([a['bbox'] for a in found]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        sample['pred_instances']['bboxes'] = torch.tensor(boxes)
        samples.append(sample)
    numbers = _evaluate(CocoMetric(path), samples)
    assert numbers['coco/segm_mAP'] == pytest.approx(1.0)
    assert numbers['coco/bbox_mAP'] == pytest.approx(1.0)


def test_classwise_is_the_mean_and_the_single_run(truth_path):
    samples = _samples(truth_path)
    numbers = _evaluate(CocoMetric(truth_path, classwise=True), samples)
    for iou_type in ('bbox', 'segm'):
        each = [
            numbers[f'coco/{iou_type}_{name}_precision'] for name in CLASSES
        ]
        valid = [value for value in each if value > -1]
        assert len(set(each)) == 3
        assert numbers[f'coco/{iou_type}_mAP'] == pytest.approx(
            np.mean(valid))


def test_metric_items_and_single_metric(truth_path):
    metric = CocoMetric(truth_path, 'segm', metric_items=['mAP_75', 'AR@300'])
    numbers = _evaluate(metric, _samples(truth_path))
    assert list(numbers) == ['coco/segm_mAP_75', 'coco/segm_AR@300']


def test_custom_thresholds(truth_path):
    samples = _samples(truth_path)
    full = _evaluate(CocoMetric(truth_path), samples)
    half = _evaluate(CocoMetric(truth_path, iou_thrs=[0.5]), samples)
    assert half['coco/segm_mAP_50'] == pytest.approx(
        full['coco/segm_mAP_50'], abs=1e-12)
    assert half['coco/segm_mAP'] == half['coco/segm_mAP_50']
    assert half['coco/segm_mAP_75'] == -1.0


def test_mask_scores_rank_masks(truth_path):
    samples = _samples(truth_path)
    flat = copy.deepcopy(samples)
    for sample in flat:
        pred = sample['pred_instances']
        pred['mask_scores'] = pred['scores'].flip(0)
    before = _evaluate(CocoMetric(truth_path), samples)
    after = _evaluate(CocoMetric(truth_path), flat)
    assert before['coco/bbox_mAP'] == after['coco/bbox_mAP']
    assert before['coco/segm_mAP'] != after['coco/segm_mAP']


def test_masks_are_kept_as_rle(truth_path):
    metric = CocoMetric(truth_path)
    metric.process({}, _samples(truth_path))
    for _, prediction in metric.results:
        assert all(set(m) == {'size', 'counts'} for m in prediction['masks'])


def test_rle_predictions_are_taken_as_they_are(truth_path):
    samples = _samples(truth_path)
    encoded = copy.deepcopy(samples)
    for sample in encoded:
        pred = sample['pred_instances']
        pred['masks'] = [_encode(m.numpy()) for m in pred['masks']]
    assert _evaluate(CocoMetric(truth_path), samples) == _evaluate(
        CocoMetric(truth_path), encoded)


def test_format_only_writes_coco_results(truth_path, tmp_path):
    samples = _samples(truth_path)
    metric = CocoMetric(
        truth_path, format_only=True, outfile_prefix=str(tmp_path / 'found'))
    assert _evaluate(metric, samples) == {}
    entries = json.loads((tmp_path / 'found.segm.json').read_text())
    count = sum(len(s['pred_instances']['labels']) for s in samples)
    assert len(entries) == count
    assert entries[0]['category_id'] in CATEGORY_IDS
    boxes = json.loads((tmp_path / 'found.bbox.json').read_text())
    assert len(boxes) == count and len(boxes[0]['bbox']) == 4


@pytest.mark.parametrize('classes', [('cat', 'dog'), ('dog', 'cat', 'emu')])
def test_other_classes_stop_before_the_first_batch(truth_path, classes):
    metric = CocoMetric(truth_path)
    with pytest.raises(ValueError, match='must equal the categories'):
        metric.dataset_meta = dict(classes=classes)


def test_images_of_another_file(truth_path):
    samples = _samples(truth_path)
    samples[2]['img_id'] = 4711
    with pytest.raises(ValueError, match='e.g. image id 4711'):
        _evaluate(CocoMetric(truth_path), samples)


def test_model_without_masks(truth_path):
    samples = _samples(truth_path)
    for sample in samples:
        del sample['pred_instances']['masks']
    with pytest.raises(KeyError, match='predicts no masks'):
        _evaluate(CocoMetric(truth_path), samples)
    assert len(_evaluate(CocoMetric(truth_path, 'bbox'), samples)) == 12


@pytest.mark.parametrize('kwargs, error, match', [
    (dict(metric='proposal'), KeyError, '`metric` of CocoMetric'),
    (dict(metric_items=['mAP_60']), KeyError, '`metric_items`'),
    (dict(proposal_nums=(1, 100)), ValueError, '`proposal_nums`'),
    (dict(proposal_nums=(100, 10, 1)), ValueError, '`proposal_nums`'),
    (dict(format_only=True), ValueError, '`outfile_prefix`'),
    (dict(backend='fast'), ValueError, '`backend`'),
])
def test_bad_arguments(truth_path, kwargs, error, match):
    with pytest.raises(error, match=match):
        CocoMetric(truth_path, **kwargs)


def test_missing_annotation_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='`ann_file` of CocoMetric'):
        CocoMetric(str(tmp_path / 'none.json'))
