"""Benchmark: what is booked where, and what may be published."""
import json

import pytest
import torch
from mmengine.config import Config

from mmseghead.apis import benchmark as module
from mmseghead.apis.benchmark import (BenchmarkOptions, benchmark,
                                      latency_item, write_latency)
from mmseghead.apis.model_index import load_index
from mmseghead.apis.stages import REST, StageTracker
from mmseghead.apis.train import load_config
from mmseghead.utils.stage_marks import marked

_RESULT = dict(
    config='fake_r50_fpn_1x_coco',
    weights='a.pth',
    image_source='test data',
    batch_size=1,
    mode='FP32',
    resolution='(320, 256)',
    latency_ms=dict(median=123.456),
    stages_ms={'backbone': 20.04, 'mask_head.predict_by_feat': 3.26},
    peak_memory_mib=dict(host=512.4, gpu=None),
    threads=2,
    hardware=dict(cpu='A CPU', gpu=None),
    versions=dict(ops_backend='torch'))


def _config(request, **changes):
    path = request.config.rootpath / 'configs/mask_rcnn'
    config = Config.fromfile(path / 'mask-rcnn_quick_nuclei.py')
    config.merge_from_dict(changes)
    return config


def test_stages_add_up(request, monkeypatch):
    config = _config(request, **{
        'test_dataloader.dataset.data_root': 'absent/',
        'test_dataloader.dataset.pipeline': [
            dict(type='mmdet.Resize', scale=(96, 64), keep_ratio=True)
        ]
    })
    ticks = iter(range(10**6))
    monkeypatch.setattr(module.time, 'perf_counter', lambda: next(ticks))
    result = benchmark(config, None, BenchmarkOptions(
        images=4, warmup=1, batch_size=2))
    assert json.loads(json.dumps(result)) == result
    assert result['weights'] == result['image_source'] == 'random'
    assert (result['resolution'], result['mode']) == ('(96, 64)', 'FP32')
    stages = result['stages_ms']
    assert {'rest', 'backbone', 'neck', 'rpn_head',
            'rpn_head.predict_by_feat', 'roi_head.bbox_head'} <= set(stages)
    # A clock that ticks per booking: the backbone is entered and left once
    # per batch of two images.
    assert stages['backbone'] == 500
    assert sum(stages.values()) == result['latency_ms']['median']
    assert result['images_per_s'] == pytest.approx(
        1000 / result['latency_ms']['mean'], abs=0.01)


def test_evaluation_is_timed_beside_the_latency(tiny_config):
    config = load_config(str(tiny_config))
    result = benchmark(config, None, BenchmarkOptions(images=4, warmup=0))
    evaluation = result['evaluation_ms']
    # Three images of four are different ones.
    assert set(evaluation) == {'rle', 'metric'}
    assert min(evaluation.values()) > 0
    assert 'rle' not in result['stages_ms']


def test_marked_work_is_a_stage_of_its_own():
    tracker = StageTracker()
    model = torch.nn.Sequential()
    seen = [tracker.current]
    with marked('paste'):
        seen.append(tracker.current)
    with tracker.watching(model), tracker.running('head'):
        with marked('paste'):
            seen.append(tracker.current)
        seen.append(tracker.current)
    with marked('paste'):
        seen.append(tracker.current)
    assert seen == [REST, REST, 'paste', 'head', REST]


def test_images_are_repeated(monkeypatch):
    monkeypatch.setattr(module.DATASETS, 'build', lambda cfg: ['a', 'b'])
    config = Config(dict(test_dataloader=dict(dataset=dict())))
    samples, source = module.load_samples(config, 5)
    assert samples == ['a', 'b', 'a', 'b', 'a'] and source == 'test data'


def test_batches():
    samples = [dict(inputs=i, data_samples=-i) for i in range(4)]
    assert list(module._batches(samples, 2)) == [
        dict(inputs=[0, 1], data_samples=[0, -1]),
        dict(inputs=[2, 3], data_samples=[-2, -3])
    ]


@pytest.mark.parametrize('wrong', [
    dict(images=0), dict(images=5, batch_size=2), dict(warmup=-1),
    dict(batch_size=0), dict(dtype='int8')
])
def test_options(wrong):
    with pytest.raises(ValueError, match='must be'):
        BenchmarkOptions(**wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_no_gpu():
    with pytest.raises(ValueError, match='finds no GPU'):
        BenchmarkOptions(device='cuda')


def test_write_replaces_the_same_setup_only(zoo):
    def entry():
        return load_index(zoo.root)['fake_r50_fpn_1x_coco']

    assert write_latency(entry(), _RESULT)
    assert entry().latencies == [latency_item(_RESULT)] == [{
        'value': 123.5,
        'hardware': '2 threads of A CPU',
        'backend': 'PyTorch (torch ops)',
        'batch size': 1,
        'mode': 'FP32',
        'resolution': '(320, 256)',
        'weights': 'a.pth',
        'stages': {'backbone': 20.0, 'mask_head.predict_by_feat': 3.3},
        'peak memory (MiB)': 512
    }]
    faster = dict(_RESULT, latency_ms=dict(median=100.0))
    write_latency(entry(), faster)
    write_latency(entry(), dict(faster, hardware=dict(cpu='B', gpu='GPU 9'),
                                peak_memory_mib=dict(host=9., gpu=77.6)))
    assert [(item['hardware'], item['value']) for item in entry().latencies
            ] == [('2 threads of A CPU', 100.0), ('GPU 9', 100.0)]
    assert entry().latencies[1]['peak memory (MiB)'] == 78
    assert entry().parameters == 7


@pytest.mark.parametrize('changes', [
    dict(weights='random'), dict(image_source='random'), dict(config='x')
])
def test_what_may_not_be_published(zoo, changes):
    before = zoo.files()
    with pytest.raises(ValueError):
        write_latency(load_index(zoo.root)['fake_r50_fpn_1x_coco'],
                      dict(_RESULT, **changes))
    assert zoo.files() == before
