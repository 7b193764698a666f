"""Boundary AP and AP on federated annotations equal a slow reference."""
import json

import numpy as np
import pytest
import torch
from pycocotools import mask as mask_api

from mmseghead.evaluation.metrics import CocoMetric

CLASSES = ('cat', 'dog', 'emu')
CATEGORY_IDS = (7, 3, 90)
HEIGHT, WIDTH = 61, 83
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def _band(mask, width):
    """Pixels of the mask at most ``width`` steps from a pixel outside it."""
    padded = np.pad(mask, width)
    inner = np.ones_like(mask)
    for dy in range(2 * width + 1):
        for dx in range(2 * width + 1):
            inner &= padded[dy:dy + HEIGHT, dx:dx + WIDTH]
    return mask & ~inner


def _mask_iou(found, true, crowd):
    shared = (found & true).sum()
    whole = found.sum() if crowd else (found | true).sum()
    return shared / whole if whole else 0.0


def _boundary_iou(found, true, crowd, width):
    iou = _mask_iou(found, true, crowd)
    if crowd:
        return iou
    return min(iou, _mask_iou(_band(found, width), _band(true, width), 0))


def _match(found, true, threshold, iou, not_exhaustive):
    """Return (score, hit, ignored) of one class in one image."""
    taken, rows = set(), []
    order = sorted(range(len(true)), key=lambda g: true[g]['iscrowd'])
    for mask, score in sorted(found, key=lambda pair: -pair[1]):
        best, hit = threshold, None
        for g in order:
            crowd = true[g]['iscrowd']
            if g in taken and not crowd:
                continue
            if crowd and hit is not None and not true[hit]['iscrowd']:
                break
            value = iou(mask, true[g]['mask'], crowd)
            if value >= best:
                best, hit = value, g
        taken.add(hit)
        ignored = (true[hit]['iscrowd'] if hit is not None else
                   not_exhaustive)
        rows.append((score, hit is not None, bool(ignored)))
    return rows


def _average_precision(rows, positives):
    rows = sorted((row for row in rows if not row[2]), key=lambda row: -row[0])
    hits = np.array([row[1] for row in rows], dtype=float)
    recall = np.cumsum(hits) / positives
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    values = [
        max(precision[recall >= level], default=0.0)
        for level in np.linspace(0, 1, 101)
    ]
    return np.mean(values)


def _reference(truth, samples, iou, federated):
    """Mean AP over classes and thresholds, in plain loops."""
    found = {sample['img_id']: sample['pred_instances'] for sample in samples}
    values = []
    for label, category in enumerate(CATEGORY_IDS):
        of_class = [
            a for a in truth['annotations'] if a['category_id'] == category
        ]
        positives = sum(not a['iscrowd'] for a in of_class)
        if not positives:
            continue
        for threshold in THRESHOLDS:
            rows = []
            for image in truth['images']:
                true = [a for a in of_class if a['image_id'] == image['id']]
                if federated and not true and category not in image[
                        'neg_category_ids']:
                    continue
                pred = found[image['id']]
                kept = pred['labels'].numpy() == label
                pairs = list(
                    zip(pred['masks'].numpy()[kept],
                        pred['scores'].numpy()[kept]))
                lenient = federated and category in image[
                    'not_exhaustive_category_ids']
                rows += _match(pairs, true, threshold, iou, lenient)
            values.append(_average_precision(rows, positives))
    return np.mean(values)


def _blob(rng):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    h, w = rng.integers(4, 45, 2)
    y, x = rng.integers(-3, HEIGHT - 6), rng.integers(-3, WIDTH - 6)
    mask[max(y, 0):y + h, max(x, 0):x + w] = True
    return mask & (rng.random(mask.shape) < 0.98)


def _scene(seed, crowds):
    rng = np.random.default_rng(seed)
    images, annotations, samples = [], [], []
    for image_id in range(5, 14):
        shuffled = rng.permutation(CATEGORY_IDS).tolist()
        images.append(
            dict(
                id=image_id,
                height=HEIGHT,
                width=WIDTH,
                neg_category_ids=shuffled[:1],
                not_exhaustive_category_ids=shuffled[1:2]))
        masks, labels = [_blob(rng)], [int(rng.integers(3))]
        for _ in range(rng.integers(0, 5)):
            mask, label = _blob(rng), int(rng.integers(3))
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image_id,
                    category_id=CATEGORY_IDS[label],
                    iscrowd=int(crowds and rng.random() < 0.2),
                    area=int(mask.sum()),
                    mask=mask,
                    bbox=[0, 0, 1, 1]))
            masks.append(np.roll(mask, rng.integers(-2, 3, 2), (0, 1)))
            labels.append(label if rng.random() < 0.8 else 0)
        # Scores without ties: their order is the evaluators' own choice.
        scores = rng.permutation(100)[:len(masks)] / 100 + image_id / 1e4
        samples.append(
            dict(
                img_id=image_id,
                ori_shape=(HEIGHT, WIDTH),
                pred_instances=dict(
                    bboxes=torch.zeros(len(masks), 4),
                    scores=torch.tensor(scores),
                    labels=torch.tensor(labels),
                    masks=torch.tensor(np.array(masks)))))
    categories = [
        dict(id=i, name=name) for i, name in zip(CATEGORY_IDS, CLASSES)
    ]
    return dict(
        images=images, annotations=annotations,
        categories=categories), samples


def _write(truth, path):
    annotations = []
    for annotation in truth['annotations']:
        mask = annotation['mask']
        rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
        annotations.append({
            **annotation, 'mask': None,
            'segmentation': dict(
                size=[HEIGHT, WIDTH], counts=rle['counts'].decode())
        })
    path.write_text(json.dumps({**truth, 'annotations': annotations}))
    return str(path)


def _evaluate(path, samples, *args, **kwargs):
    metric = CocoMetric(path, *args, **kwargs)
    metric.dataset_meta = dict(classes=CLASSES)
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('seed, ratio, width', [(0, 0.02, 2), (1, 0.04, 4),
                                                (2, 0.001, 1)])
def test_boundary_ap(tmp_path, seed, ratio, width):
    """The band is round(ratio * diagonal of 103 px) wide, at least 1 px."""
    truth, samples = _scene(seed, crowds=True)
    found = _evaluate(
        _write(truth, tmp_path / 'a.json'),
        samples, ['segm', 'boundary'],
        dilation_ratio=ratio)
    wanted = _reference(
        truth, samples, lambda *masks: _boundary_iou(*masks, width), False)
    assert found['coco/boundary_mAP'] == pytest.approx(wanted, abs=1e-9)
    masks = _reference(truth, samples, _mask_iou, False)
    assert found['coco/segm_mAP'] == pytest.approx(masks, abs=1e-9)
    assert wanted < masks


@pytest.mark.parametrize('seed', [3, 4])
def test_federated_annotations(tmp_path, seed):
    truth, samples = _scene(seed, crowds=False)
    path = _write(truth, tmp_path / 'a.json')
    found = _evaluate(path, samples, ['boundary', 'segm'], federated=True)
    wanted = _reference(truth, samples, _mask_iou, True)
    assert found['coco/segm_mAP'] == pytest.approx(wanted, abs=1e-9)
    boundary = _reference(
        truth, samples, lambda *masks: _boundary_iou(*masks, 2), True)
    assert found['coco/boundary_mAP'] == pytest.approx(boundary, abs=1e-9)
    plain = _evaluate(path, samples, 'segm')['coco/segm_mAP']
    assert plain < wanted


def test_federated_leaves_other_images_out(tmp_path):
    truth, samples = _scene(5, crowds=False)
    path = _write(truth, tmp_path / 'a.json')
    wanted = _evaluate(path, samples, 'segm', federated=True)
    other = {**samples[0], 'img_id': 4711}
    assert _evaluate(
        path, [*samples, other], 'segm', federated=True) == wanted
    with pytest.raises(ValueError, match='e.g. image id 4711'):
        _evaluate(path, [*samples, other], 'segm')


def test_perfect_and_no_predictions(tmp_path):
    truth, samples = _scene(6, crowds=False)
    path = _write(truth, tmp_path / 'a.json')
    for sample in samples:
        own = [
            a for a in truth['annotations']
            if a['image_id'] == sample['img_id']
        ]
        count = len(own)
        sample['pred_instances'] = dict(
            bboxes=torch.zeros(count, 4),
            scores=torch.linspace(0.1, 0.9, count),
            labels=torch.tensor(
                [CATEGORY_IDS.index(a['category_id']) for a in own],
                dtype=torch.long),
            masks=torch.tensor(
                np.array([a['mask'] for a in own
                          ]).reshape(count, HEIGHT, WIDTH)))
    assert _evaluate(path, samples, 'boundary')['coco/boundary_mAP'] == 1
    for sample in samples:
        sample['pred_instances'] = {
            key: value[:0]
            for key, value in sample['pred_instances'].items()
        }
    assert _evaluate(path, samples, 'boundary')['coco/boundary_mAP'] == 0


@pytest.mark.parametrize('kwargs, match', [
    (dict(metric='boundary', backend='pycocotools'), '`backend`'),
    (dict(federated=True, backend='pycocotools'), '`backend`'),
    (dict(dilation_ratio=0.0), '`dilation_ratio`'),
    (dict(dilation_ratio=1), '`dilation_ratio`'),
])
def test_bad_arguments(tmp_path, kwargs, match):
    truth, _ = _scene(7, crowds=False)
    with pytest.raises(ValueError, match=match):
        CocoMetric(_write(truth, tmp_path / 'a.json'), **kwargs)
