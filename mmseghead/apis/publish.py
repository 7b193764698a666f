"""Publishing a trained model: weights, hash list, run record, metafile.

Every number that a metafile states comes from a run record through here.
"""
import hashlib
import io
import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple

import numpy as np
import torch
from mmengine.config import Config

from mmseghead.utils import sha256_of
from mmseghead.utils.checkpoints import read_checkpoint
from mmseghead.utils.transaction import FileTransaction
from mmseghead.utils.weights import SCHEME, weights_folders
from .metafile import find_entry, read_metafile, with_entry
from .model_index import MEASURED, find_root
from .records import (METRIC_NAMES, Record, asks_for_boxes_only, canonical,
                      changed_settings, dataset_of, published_metrics,
                      read_record, record_sha256)

SUMS = 'SHA256SUMS'
#: Main metric -> task, in the words of metafiles.
TASKS = {'mask AP': 'Instance Segmentation', 'box AP': 'Object Detection'}


@dataclass(frozen=True)
class Published:
    """What :func:`publish_model` wrote; ``weights`` is None for a seed."""
    name: str
    metrics: Mapping[str, float]
    record: Path
    weights: Optional[Path] = None
    sha256: str = ''
    metafile: Optional[Path] = None


def publish_model(checkpoint: Path,
                  *,
                  train_record: Optional[Path] = None,
                  test_record: Optional[Path] = None,
                  mirror: Optional[Path] = None,
                  url_base: str = SCHEME,
                  collection: Optional[str] = None,
                  seed_only: bool = False,
                  root: Optional[Path] = None) -> Published:
    """Publish a checkpoint together with the record of its training.

    Writes, in this order and all or nothing: the weights into the mirror
    folder as ``<config>-<8 hex of sha256>.pth``, their line in the mirror's
    ``SHA256SUMS``, ``docs/run_records/<config>.json``, and the entry in
    ``configs/<method>/metafile.yml``. The same input gives the same bytes.

    Args:
        checkpoint: A checkpoint written by the Runner. One trained with
            ``EMAHook`` gives its averaged weights: these are the ones that
            were evaluated.
        train_record: Record of the training; ``run_record_train.json``
            beside the checkpoint if None.
        test_record: Record of a test of this very checkpoint, whose metrics
            then count; those of the last validation in training if None.
        mirror: Folder of published weights; the first one of
            ``MMSEGHEAD_WEIGHTS``, or ``weights/``, if None.
        url_base: Start of the ``Weights`` URL. As it is, the file is looked
            up in the mirror folders; give ``https://...`` for a host.
        collection: Collection of a new entry; needed only where the metafile
            has several.
        seed_only: Only file the record, as ``<config>.seed<N>.json``: one
            more measurement of a model that is published with another seed.
        root: The checkout; found if None.

    Raises:
        FileNotFoundError: if the checkpoint, a record, the config or the
            metafile is missing.
        ValueError: if they do not belong together, a run did not finish, or
            a number is missing; nothing is written then.
    """
    root = find_root() if root is None else Path(root)
    checkpoint = Path(checkpoint)
    record = joined_record(checkpoint, train_record, test_record)
    name = record['config']['name']
    config = config_path(root, name)
    check_config(config, record)
    if seed_only:
        return _file_seed(root, record)
    payload = weights_payload(checkpoint, record)
    digest = hashlib.sha256(payload).hexdigest()
    file_name = f'{name}-{digest[:8]}.pth'
    record['published'] = dict(file=file_name, sha256=digest)
    mirror = weights_folders(root)[0] if mirror is None else Path(mirror)
    metafile = config.parent / 'metafile.yml'
    entry = build_entry(metafile, record, config.relative_to(root),
                        collection)
    entry['Weights'] = _join(url_base, file_name)
    text = with_entry(metafile.read_text('utf-8'), entry, metafile)
    with FileTransaction() as files:
        files.write(mirror / file_name, payload)
        files.write(mirror / SUMS, _sums_with(mirror, file_name, digest))
        files.write(root / entry['Run Record'], canonical(record).encode())
        files.write(metafile, text.encode())
    return Published(name, entry['Results'][0]['Metrics'],
                     root / entry['Run Record'], mirror / file_name, digest,
                     metafile)


def _join(url_base: str, file_name: str) -> str:
    return url_base + ('' if url_base.endswith('/') else '/') + file_name


def joined_record(checkpoint: Path,
                  train_record: Optional[Path] = None,
                  test_record: Optional[Path] = None) -> Record:
    """Return the train record, with the test record under ``test`` if given.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the records are not about this checkpoint and about
            one config, or state no mask AP.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(f'There is no checkpoint {checkpoint}.')
    if train_record is None:
        train_record = checkpoint.parent / 'run_record_train.json'
    train_record = Path(train_record)
    digest = sha256_of(checkpoint)
    record = read_record(train_record, 'train')
    _check_names(train_record, record, checkpoint, digest)
    if test_record is not None:
        test_record = Path(test_record)
        test = read_record(test_record, 'test')
        _check_names(test_record, test, checkpoint, digest)
        _check_same_config(record, test, test_record)
        record['test'] = test
    key, name = _main_metric(record)
    if name not in published_metrics(record):
        raise ValueError(
            f'The run record {test_record or train_record} states no {name} '
            f'(coco/{key}); test the checkpoint with tools/test.py and '
            'give its run_record_test.json as test record.')
    return record


def _main_metric(record: Record) -> Tuple[str, str]:
    """Return what a run must have measured, as in records and metafiles.

    Box AP where the config asks for boxes only, as that of a detector which
    merely learns from masks does; mask AP otherwise.
    """
    config = Config.fromstring(record['config'].get('text', ''), '.py')
    key = 'bbox_mAP' if asks_for_boxes_only(config) else 'segm_mAP'
    return key, METRIC_NAMES[key]


def _check_names(path: Path, record: Record, checkpoint: Path,
                 digest: str) -> None:
    """Refuse a record that is about another checkpoint."""
    named = record['checkpoint']
    if not named:
        raise ValueError(
            f'Run record {path} names no checkpoint; train with a '
            'CheckpointHook, or test with a checkpoint file.')
    if named['sha256'] != digest:
        raise ValueError(
            f'Run record {path} and checkpoint {checkpoint} do not belong '
            f'together: the record is about {named["file"]} with sha256 '
            f'{named["sha256"]}, the checkpoint has {digest}. Give the '
            f'checkpoint {named["file"]}, or the record of this one.')


def _check_same_config(train: Record, test: Record, path: Path) -> None:
    ours, theirs = train['config']['name'], test['config']['name']
    if ours != theirs:
        raise ValueError(
            f'The test record {path} is about config {theirs!r}, the train '
            f'record about {ours!r}; test with the config of the training.')


def config_path(root: Path, name: str) -> Path:
    """Return the config of that name below ``configs/<method>/``.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if there are several.
    """
    found = sorted((root / 'configs').glob(f'*/{name}.py'))
    if not found:
        raise FileNotFoundError(
            f'There is no config {name}.py below {root / "configs"}; the run '
            'record must be of a config of the zoo. Add the config first.')
    if len(found) > 1:
        raise ValueError(f'Config names must be unique, got {found}.')
    return found[0]


def check_config(path: Path, record: Record) -> None:
    """Refuse a record of settings that the config does not state.

    Raises:
        ValueError: naming the settings that differ.
    """
    changed = changed_settings(path, record)
    if changed:
        raise ValueError(
            f'The run of {record["config"]["name"]!r} was made with other '
            f'settings than {path} states: {", ".join(changed)}. Numbers are '
            'published for configs as they are: train again without '
            '--cfg-options, or add a config with these settings.')


def averaged_weights(checkpoint: Mapping[str, Any]) -> 'OrderedDict':
    """Return the state dict to publish, as plain contiguous CPU tensors.

    ``EMAHook`` saves the averaged weights as ``state_dict`` and the raw ones
    as ``ema_state_dict``, so the first is right with and without it. Module
    versions (``_metadata``) are kept: some modules of mmdet rename their
    keys on loading where they are missing.

    Raises:
        ValueError: if there is no state dict, or it holds anything but
            tensors.
    """
    state = checkpoint.get('state_dict')
    if not isinstance(state, Mapping) or not state:
        raise ValueError(
            'The checkpoint has no `state_dict`; give one that the Runner '
            f'wrote. It has the keys {sorted(checkpoint)}.')
    strange = [key for key, value in state.items()
               if not isinstance(value, torch.Tensor)]
    if strange:
        raise ValueError('The `state_dict` of the checkpoint must hold only '
                         f'tensors, got others under {strange}.')
    weights = OrderedDict((key, value.detach().cpu().contiguous().clone())
                          for key, value in state.items())
    if getattr(state, '_metadata', None):
        weights._metadata = plain(state._metadata)
    return weights


def plain(value: Any) -> Any:
    """Return nested data in plain Python types, text interned.

    Pickle writes a text that it met before as a reference, but knows it by
    identity only; interning makes equal data give equal bytes.

    Raises:
        TypeError: if there is anything that has no plain form.
    """
    if isinstance(value, Mapping):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, str):
        return sys.intern(str(value))
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError('Published metadata must be plain Python data, got a '
                    f'{type(value).__name__}.')


def weights_payload(path: Path, record: Record) -> bytes:
    """Return the bytes of the weights-only file.

    It holds ``state_dict`` and ``meta`` (config text, classes, data hashes,
    versions, seed, metrics, hash of the run record), and loads with
    ``torch.load(..., weights_only=True)``.
    """
    checkpoint = read_checkpoint(path, map_location='cpu')
    weights = averaged_weights(checkpoint)
    trained = checkpoint.get('meta') or {}
    dataset_meta = trained.get('dataset_meta') or {}
    text = record['config'].get('text', '')
    meta = dict(
        cfg=text,
        config_name=record['config']['name'],
        dataset_meta={
            key: dataset_meta[key]
            for key in ('classes', 'palette') if key in dataset_meta
        },
        data=record.get('data') or {},
        epoch=trained.get('epoch'),
        iter=trained.get('iter'),
        metrics=published_metrics(record),
        run_record_sha256=record_sha256(record),
        seed=record.get('seed'),
        versions=record['versions'])
    stream = io.BytesIO()
    torch.save(dict(state_dict=weights, meta=plain(meta)), stream)
    return stream.getvalue()


def build_entry(metafile: Path, record: Record, config: Path,
                collection: Optional[str]) -> Dict[str, Any]:
    """Return the metafile entry, on top of what is there already.

    Figures that others measure (FLOPs, inference time) and hand-written keys
    are kept.

    Raises:
        FileNotFoundError: if there is no metafile.
        ValueError: if the collection of a new entry is not clear.
    """
    content = read_metafile(metafile)
    name = record['config']['name']
    entry = dict(find_entry(content, name) or {'Name': name})
    names = [item['Name'] for item in content.get('Collections') or []]
    collection = collection or entry.get('In Collection')
    if collection is None and len(names) == 1:
        collection = names[0]
    if collection not in names:
        raise ValueError(
            f'`collection` of {name!r} must be one of those of {metafile}, '
            f'{names}, got {collection!r}.')
    dataset = dataset_of(name)
    entry['In Collection'] = collection
    entry['Config'] = config.as_posix()
    entry['Metadata'] = {
        **(entry.get('Metadata') or {}),
        **_training_metadata(record, dataset)
    }
    entry['Results'] = [{
        'Task': TASKS[_main_metric(record)[1]],
        'Dataset': dataset,
        'Metrics': published_metrics(record)
    }]
    entry['Weights'] = ''
    entry['SHA256'] = record['published']['sha256']
    entry['Run Record'] = f'docs/run_records/{name}.json'
    entry['Source'] = MEASURED
    return entry


def _training_metadata(record: Record, dataset: str) -> Dict[str, Any]:
    """Return what the metafile says of the training."""
    schedule = record.get('schedule') or {}
    hardware = record.get('hardware') or {}
    times = record.get('times') or {}
    gpus = hardware.get('gpus') or []
    resources = ', '.join(gpus) or (
        f'{hardware["cores"]} cores of {hardware["cpu"]}'
        if 'cpu' in hardware else None)
    epochs = schedule.get('epochs')
    train_s = times.get('train_s')
    metadata = {
        'Parameters': (record.get('model') or {}).get('parameters'),
        'Training Data': dataset,
        'Training Resources': resources,
        'Epochs': epochs,
        'Iterations': None if epochs else schedule.get('iterations'),
        'Batch Size': schedule.get('batch_size'),
        'Training Time (min)': train_s and round(train_s / 60, 1)
    }
    return {key: item for key, item in metadata.items() if item is not None}


def _sums_with(mirror: Path, file_name: str, digest: str) -> bytes:
    """Return the mirror's hash list with one line added or replaced.

    The format is that of ``sha256sum``: check a mirror with
    ``sha256sum -c SHA256SUMS``.
    """
    path = mirror / SUMS
    lines = path.read_text('utf-8').splitlines() if path.is_file() else []
    sums = dict(reversed(line.split('  ', 1)) for line in lines if line)
    sums[file_name] = digest
    return ''.join(f'{sums[name]}  {name}\n' for name in sorted(sums)).encode()


def _file_seed(root: Path, record: Record) -> Published:
    """Write the record of a further seed."""
    name, seed = record['config']['name'], record.get('seed')
    if seed is None:
        raise ValueError(f'The run record of {name!r} states no seed; train '
                         'with randomness=dict(seed=...).')
    path = root / 'docs' / 'run_records' / f'{name}.seed{seed}.json'
    with FileTransaction() as files:
        files.write(path, canonical(record).encode())
    return Published(name, published_metrics(record), path)
