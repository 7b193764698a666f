"""Reading run records, and what is published of them."""
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping

import numpy as np
from mmengine.config import Config

from .train import load_config

Record = Dict[str, Any]

SCHEMA = 1
#: Folder of the records of published numbers, below the checkout.
RECORDS = Path('docs', 'run_records')
#: Metric of a record (behind the evaluator's prefix) -> metric of a metafile.
METRIC_NAMES = {
    'segm_mAP': 'mask AP',
    'segm_mAP_75': 'mask AP75',
    'boundary_mAP': 'boundary AP',
    'bbox_mAP': 'box AP',
    'segm_AP': 'mask AP',
    'segm_AP75': 'mask AP75',
    'bbox_AP': 'box AP',
}
#: Last field of a config's name -> data set of a metafile.
DATASET_FIELDS = {
    'coco': 'COCO',
    'lvis': 'LVIS v1',
    'lvis-v1': 'LVIS v1',
    'cityscapes': 'Cityscapes',
    'shapes': 'shapes',
    'nuclei': 'nuclei',
}
#: Settings that a number depends on. Where the data lies and how many
#: processes load it are none; the data's hash is in the record.
_TRAINING = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg',
             'train_dataloader')
_VALIDATION = ('val_dataloader', 'val_evaluator')
_TESTING = ('model', 'test_dataloader', 'test_evaluator')
_INDIFFERENT = ('data_root', 'ann_file', 'data_prefix', 'num_workers',
                'persistent_workers', 'pin_memory', 'backend_args',
                'prefetch_factor', 'outfile_prefix', 'classwise')
#: Parts of ours that differ from mmdet's of the same name in memory alone.
_SAME_AS_MMDET = ('FCNMaskHead', 'CoarseMaskHead', 'YOLACTProtonet')
_CLASS_METRIC = re.compile(r'(?:.*/)?segm_(.+)_precision')
_KEYS = ('kind', 'status', 'config', 'versions', 'metrics', 'checkpoint')


def read_record(path: Path, kind: str) -> Record:
    """Read a run record and check what it is.

    Args:
        path: The JSON file.
        kind: ``'train'`` or ``'test'``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no record of schema 1, is of the other kind, or
            its run did not finish.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no {kind} record {path}. `tools/{kind}.py` writes it '
            f'into its work dir as run_record_{kind}.json; give its path.')
    try:
        record = json.loads(path.read_text('utf-8'))
    except ValueError as error:
        raise ValueError(f'Run record {path} is not valid JSON: {error}')
    if not isinstance(record, dict) or record.get('schema') != SCHEMA:
        raise ValueError(f'{path} is not a run record of schema {SCHEMA}.')
    missing = [key for key in _KEYS if key not in record]
    if missing:
        raise ValueError(f'Run record {path} lacks {", ".join(missing)}.')
    if record['kind'] != kind:
        raise ValueError(
            f'`kind` of the {kind} record {path} must be {kind!r}, got '
            f'{record["kind"]!r}; give the record that tools/{kind}.py wrote.')
    if record['status'] != 'finished':
        raise ValueError(
            f"`status` of run record {path} must be 'finished', got "
            f'{record["status"]!r}; finish the run (--resume) or repeat it.')
    return record


def canonical(record: Mapping[str, Any]) -> str:
    """Return a record as text; equal records give equal text."""
    return json.dumps(record, indent=1, sort_keys=True) + '\n'


def record_sha256(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a record's canonical text, ``published`` aside.

    That key is left out since it names the hash of the published file, which
    in turn names this hash.
    """
    bare = {key: item for key, item in record.items() if key != 'published'}
    return hashlib.sha256(canonical(bare).encode()).hexdigest()


def dataset_of(config_name: str) -> str:
    """Return the metafile's data set name for a config's name.

    Raises:
        ValueError: if the name does not end in a known data set.
    """
    last = config_name.rsplit('_', 1)[-1]
    if last == 'v1' and config_name.endswith('lvis_v1'):
        last = 'lvis'
    if last not in DATASET_FIELDS:
        raise ValueError(
            f'The config name {config_name!r} must end in one of '
            f'{", ".join(DATASET_FIELDS)}, got {last!r}.')
    return DATASET_FIELDS[last]


def published_metrics(record: Mapping[str, Any]) -> Dict[str, float]:
    """Return the metrics of a record as a metafile states them.

    Args:
        record: A run record. Where it holds a test record under ``test``,
            that one's metrics count.

    Returns:
        Metric name -> value on the 0-100 scale, one decimal; empty if the
        run measured none of ``METRIC_NAMES``.

    Raises:
        ValueError: if a metric is NaN or outside 0-1 (upstream writes -1
            where there was nothing to find), or two evaluators state one
            metric differently.
    """
    metrics = record.get('test', record)['metrics'] or {}
    published: Dict[str, float] = {}
    # In the order of METRIC_NAMES, so that metafiles do not shuffle.
    for short, name in METRIC_NAMES.items():
        for key, value in metrics.items():
            if key.rsplit('/', 1)[-1] != short:
                continue
            if math.isnan(value) or not 0 <= value <= 1:
                raise ValueError(
                    f'Metric {key} of the run record must be in [0, 1], got '
                    f'{value}; was there anything to find in the data?')
            value = round(100 * value, 1)
            if published.setdefault(name, value) != value:
                raise ValueError(
                    f'The run record has more than one {name}: '
                    f'{published[name]} and {value}; give a test record '
                    'with one evaluator.')
    return published


def class_test_file(root: Path, name: str) -> Path:
    """Return where the record of a test of a model's published weights lies.

    It adds what its training did not measure, such as the AP of classes.
    """
    return root / RECORDS / f'{name}.test.json'


def class_metrics(root: Path, name: str) -> Dict[str, float]:
    """Return the mask AP of each class of a published model.

    Args:
        root: The checkout.
        name: Name of the model; its run record is read and, where that holds
            no AP of classes, the record of a test of the published weights.

    Returns:
        Class -> mask AP in [0, 1]; empty if nobody measured it.
    """
    path = root / RECORDS / f'{name}.json'
    record = read_record(path, 'train') if path.is_file() else {}
    found = _class_precisions(record.get('test', record))
    path = class_test_file(root, name)
    if found or not path.is_file():
        return found
    test = read_record(path, 'test')
    published = record.get('published') or {}
    if (test['checkpoint'] or {}).get('sha256') != published.get('sha256'):
        return {}  # of weights that have been replaced since
    return _class_precisions(test)


def _class_precisions(record: Mapping[str, Any]) -> Dict[str, float]:
    metrics = record.get('metrics') or {}
    matches = {key: _CLASS_METRIC.fullmatch(key) for key in metrics}
    return {found[1]: metrics[key] for key, found in matches.items() if found}


def changed_settings(config: Path, record: Mapping[str, Any]) -> List[str]:
    """Return the settings in which a run differed from a config.

    Args:
        config: The config file as it is now.
        record: Its run record, with the text of what ran. Where it holds a
            test record under ``test``, that one says how the metrics came
            about, and the validation during training does not matter.

    Returns:
        Names of the differing settings, dotted, as deep as they go; empty if
        the run can be repeated with the config as it is.
    """
    now = load_config(str(config)).to_dict()
    test = record.get('test')
    stages = [(record, _TRAINING), (test or record,
                                    _TESTING if test else _VALIDATION)]
    changed: List[str] = []
    for stage, names in stages:
        then = Config.fromstring(stage['config']['text'], '.py').to_dict()
        for name in names:
            changed += _differences(name, now.get(name), then.get(name))
    return list(dict.fromkeys(changed))


def _differences(name: str, one: Any, other: Any) -> List[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [key for key in {**one, **other} if key not in _INDIFFERENT]
        return [
            item for key in keys for item in _differences(
                f'{name}.{key}', one.get(key), other.get(key))
        ]
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) == len(other):
            return [
                item for i, (a, b) in enumerate(zip(one, other))
                for item in _differences(f'{name}.{i}', a, b)
            ]
    return [] if _bare(one) == _bare(other) else [name]


def _bare(value: Any) -> Any:
    """Return the name of a part without scope, if the scope says nothing."""
    if isinstance(value, str):
        scope, _, part = value.rpartition('.')
        if part in _SAME_AS_MMDET and scope in ('', 'mmdet', 'mmseghead'):
            return part
    return value


def asks_for_boxes_only(config: Config) -> bool:
    """Tell whether a config's validation measures boxes and no masks."""
    evaluators = config.get('val_evaluator') or []
    if isinstance(evaluators, dict):
        evaluators = [evaluators]
    return {
        metric
        for entry in evaluators
        for metric in np.atleast_1d(entry.get('metric', 'segm')).tolist()
    } == {'bbox'}
