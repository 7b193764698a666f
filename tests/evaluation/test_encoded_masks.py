"""Metrics and mmdet's visualizer take encoded masks like tensors."""
import copy
import json
import pickle

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

from mmseghead.evaluation.metrics import CocoMetric, DumpDetResults
from mmseghead.functional.mask_rle import EncodedMasks, to_rles

SIZE = (30, 44)


def sample(encoded, count=4):
    generator = torch.Generator().manual_seed(3)
    masks = torch.rand(count, *SIZE, generator=generator) > 0.5
    result = DetDataSample(metainfo=dict(img_id=5, ori_shape=SIZE))
    result.pred_instances = InstanceData(
        masks=EncodedMasks(to_rles(masks), SIZE) if encoded else masks,
        scores=torch.rand(count, generator=generator),
        labels=torch.randint(2, (count, ), generator=generator),
        bboxes=torch.tensor([[3., 2., 20., 25.]]).repeat(count, 1))
    return result


@pytest.fixture
def ann_file(tmp_path):
    """Ground truth of which some predictions are right."""
    masks = sample(False).pred_instances.masks[:2]
    annotations = []
    for number, rle in enumerate(to_rles(masks), 1):
        rle = dict(rle, counts=rle['counts'].decode())
        annotations.append(
            dict(id=number, image_id=5, category_id=1, iscrowd=0, area=600,
                 bbox=[3, 2, 17, 23], segmentation=rle))
    path = tmp_path / 'truth.json'
    path.write_text(json.dumps(dict(
        images=[dict(id=5, height=SIZE[0], width=SIZE[1], file_name='a.png')],
        categories=[dict(id=1, name='a'), dict(id=2, name='b')],
        annotations=annotations)))
    return str(path)


@pytest.mark.parametrize('count', [4, 0])
def test_coco_metric(ann_file, tmp_path, count):
    numbers, files = [], []
    for encoded in (True, False):
        prefix = str(tmp_path / str(encoded))
        metric = CocoMetric(ann_file, outfile_prefix=prefix)
        metric.dataset_meta = dict(classes=('a', 'b'))
        metric.process({}, [sample(encoded, count).to_dict()])
        numbers.append(metric.evaluate(1))
        with open(f'{prefix}.segm.json') as file:
            files.append(json.load(file))
    assert numbers[0] == numbers[1] and files[0] == files[1]
    assert len(files[0]) == count
    assert count == 0 or numbers[0]['coco/segm_mAP'] > 0


def test_dump(tmp_path):
    dumped = []
    for encoded in (True, False):
        path = tmp_path / f'{encoded}.pkl'
        metric = DumpDetResults(str(path))
        batch = [sample(encoded).to_dict(), sample(not encoded).to_dict()]
        before = copy.copy(batch[0]['pred_instances'])
        metric.process({}, batch)
        # Other metrics see the sample as it was.
        assert batch[0]['pred_instances'].keys() == before.keys()
        metric.evaluate(2)
        dumped.append(pickle.loads(path.read_bytes()))
    for one, other in zip(*dumped):
        masks = one['pred_instances']['masks']
        assert isinstance(masks, list) and len(masks) == 4
        assert masks == other['pred_instances']['masks']


def test_visualizer():
    image = np.full((*SIZE, 3), 90, np.uint8)
    pictures = []
    for encoded in (True, False):
        np.random.seed(0)  # mmdet jitters colours
        drawing = DetLocalVisualizer()
        drawing.dataset_meta = dict(classes=('a', 'b'))
        drawing.add_datasample(
            'x', image, sample(encoded), draw_gt=False, pred_score_thr=0.2)
        pictures.append(drawing.get_image())
    assert np.array_equal(*pictures) and (pictures[0] != 90).any()
