"""Comparison of models: rows, filters, order, formats, plots."""
import csv
import io
import json
from dataclasses import replace

import pytest

from mmseghead.apis.compare import (FORMATS, Filter, Row, backbone_of,
                                    collect_rows, plot_rows, select_rows,
                                    to_csv, to_markdown, to_text)
from mmseghead.apis.model_index import load_index
from mmseghead.apis.publish import publish_model

_ROW = Row(
    model='solo_quick_nuclei', method='SOLO', backbone='Lite0',
    dataset='nuclei', metrics={'mask AP': 30.5, 'mask AP75': 28.0},
    parameters=4.4, gflops=8.25, latency_ms=120.0, hardware='A CPU',
    weights=True, source='measured here', measured=True)
_ROWS = [
    _ROW,
    replace(_ROW, model='mask-rcnn_quick_nuclei', method='Mask R-CNN',
            metrics={'mask AP': 41.0, 'box AP': 42.0}, latency_ms=None,
            hardware='', weights=False),
    replace(_ROW, model='solo_r50_fpn_1x_coco', backbone='R50',
            dataset='COCO', metrics={'mask AP': 33.1}, parameters=36.3,
            gflops=383.5, weights=False, source='reported by mmdet',
            measured=False),
    replace(_ROW, model='solo_r50_fpn_3x_coco', backbone='R50',
            dataset='COCO', metrics={'box AP': 1.0}, gflops=None,
            source='reported by mmdet', measured=False, variant=True),
]


def _names(rows):
    return [row.model for row in rows]


def test_sorted_by_data_set_then_metric():
    assert _names(select_rows(_ROWS, Filter())) == [
        'solo_r50_fpn_1x_coco', 'solo_r50_fpn_3x_coco',
        'mask-rcnn_quick_nuclei', 'solo_quick_nuclei'
    ]
    assert _names(select_rows(_ROWS, Filter(), 'latency_ms'))[2:] == [
        'solo_quick_nuclei', 'mask-rcnn_quick_nuclei'
    ]


@pytest.mark.parametrize('chosen, names', [
    (Filter(dataset='Coco', method='solo', with_weights=True),
     ['solo_r50_fpn_3x_coco']),
    (Filter(method='^mask'), ['mask-rcnn_quick_nuclei']),
    (Filter(backbone='lite'),
     ['mask-rcnn_quick_nuclei', 'solo_quick_nuclei']),
    (Filter(dataset='COCO', without_variants=True),
     ['solo_r50_fpn_1x_coco']),
    (Filter(source='reported', backbone='50'),
     ['solo_r50_fpn_1x_coco', 'solo_r50_fpn_3x_coco']),
])
def test_filters(chosen, names):
    assert _names(select_rows(_ROWS, chosen)) == names


def test_nothing_left_names_what_there_is():
    with pytest.raises(ValueError) as error:
        select_rows(_ROWS, Filter(dataset='lvis', method='yolact'))
    text = str(error.value)
    for part in ("dataset 'lvis'", 'dataset: COCO, nuclei',
                 'method: Mask R-CNN, SOLO', 'backbone: Lite0, R50',
                 'source: measured here, reported by mmdet', '2 of them'):
        assert part in text
    with pytest.raises(ValueError, match='regular expression'):
        select_rows(_ROWS, Filter(method='['))
    with pytest.raises(ValueError, match='sort_by'):
        select_rows(_ROWS, Filter(), 'AP')


def test_text_is_aligned_and_marks_reported_numbers():
    text = to_text(select_rows(_ROWS, Filter()))
    lines = text.splitlines()
    assert len({len(line) for line in lines[1:2]}) == 1
    column = lines[0].index('params (M)') + len('params (M)')
    assert lines[2][column - 4:column] == '36.3'
    assert '33.1*' in text and '30.5*' not in text
    assert 'A CPU' in lines[-1] and 'multiply-add' in lines[-2]


def test_markdown_has_equal_columns():
    lines = to_markdown(_ROWS).splitlines()
    table = [line for line in lines if line.startswith('|')]
    assert len(table) == 2 + len(_ROWS)
    assert len({line.count('|') for line in table}) == 1
    assert '\\* reported' in lines[len(table) + 1]


def test_csv_and_json_hold_bare_numbers():
    rows = list(csv.DictReader(io.StringIO(to_csv(_ROWS))))
    assert float(rows[2]['mask AP']) == 33.1 and rows[2]['box AP'] == ''
    assert rows[2]['source'] == 'reported by mmdet'
    data = json.loads(FORMATS['json'](_ROWS))
    assert data[0]['metrics'] == _ROW.metrics
    assert data[1]['latency_ms'] is None


def test_rows_of_an_index(zoo):
    publish_model(zoo.checkpoint, mirror=zoo.mirror, root=zoo.root)
    rows = collect_rows(load_index(zoo.root))
    assert _names(rows) == ['fake_r50_fpn_1x_coco', 'fake_quick_nuclei']
    assert [row.weights for row in rows] == [False, True]
    assert [row.measured for row in rows] == [False, True]
    assert rows[1].parameters == pytest.approx(31e-6, abs=1e-3)
    assert rows[0].backbone == '?'


def test_backbone_names(zoo):
    config = zoo.metafile.parent / 'fake_r50_fpn_1x_coco.py'
    index = load_index(zoo.root)
    entry = index['fake_r50_fpn_1x_coco']
    config.write_text("model = dict(backbone=dict(type='mmdet.ResNet', "
                      "depth=101, dcn=dict(type='DCN')))")
    assert backbone_of(index, entry) == 'R101-DCN'
    config.write_text("model = dict(backbone=dict(type='EfficientNetLite'))")
    assert backbone_of(index, entry) == 'EfficientNetLite'


def test_plots_per_data_set(tmp_path):
    paths = plot_rows(_ROWS, tmp_path / 'new')
    assert [path.name for path in paths] == [
        'mask-ap_coco.png', 'mask-ap_nuclei.png'
    ]
    assert all(path.read_bytes()[:4] == b'\x89PNG' for path in paths)
    assert plot_rows(_ROWS, tmp_path, 'boundary AP') == []
