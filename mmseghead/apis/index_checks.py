"""What must hold for every entry of the model index."""
import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping

from .metafile import read_metafile
from .model_index import DATASETS, MEASURED, ModelEntry, ModelIndex
from .records import (changed_settings, dataset_of, published_metrics,
                      record_sha256)

_REPORTED = re.compile(r'reported by \S+')
_METRICS = ('mask AP', 'mask AP75', 'boundary AP', 'box AP')


def check_index(index: ModelIndex) -> List[str]:
    """Return every fault of the index, each with its file; empty if clean.

    Covered: unique names, names equal to config stems, configs, collections,
    READMEs and records that exist, metafiles and configs that are listed,
    complete results in known words, numbers equal to their run records, and
    what makes ``mim search`` and ``mim download`` stumble.
    """
    faults = [f'{name} is listed twice.' for name in index.duplicates]
    faults += _unlisted(index)
    for metafile in index.metafiles:
        faults += _readme_faults(index, metafile)
    for entry in index.models:
        faults += [
            f'{entry.metafile}: {entry.name}: {fault}'
            for fault in check_entry(index, entry)
        ]
    return faults


def _unlisted(index: ModelIndex) -> Iterator[str]:
    configs = index.root / 'configs'
    listed = {path.resolve() for path in index.metafiles}
    for path in sorted(configs.glob('*/metafile.yml')):
        if path.resolve() not in listed:
            yield f'{path} is missing from the Import list of the index.'
    named = {(index.root / entry.config).resolve() for entry in index.models}
    for path in sorted(configs.glob('*/*.py')):
        if path.parent.name != '_base_' and path.resolve() not in named:
            yield f'{path} is in no metafile; add an entry, even without ' \
                'results.'


def _readme_faults(index: ModelIndex, metafile: Path) -> Iterator[str]:
    for item in read_metafile(metafile).get('Collections') or []:
        readme = item.get('README')
        if not readme or not (metafile.parent / readme).is_file():
            yield (f'{metafile}: README of collection {item["Name"]} must be '
                   f'a file beside the metafile, got {readme!r}.')


def check_entry(index: ModelIndex, entry: ModelEntry) -> List[str]:
    """Return the faults of one entry, without its name."""
    return [
        *_config_faults(index, entry), *_metadata_faults(entry),
        *_result_faults(entry), *_weights_faults(entry),
        *record_faults(index.root, entry)
    ]


def _config_faults(index: ModelIndex, entry: ModelEntry) -> Iterator[str]:
    path = Path(entry.config)
    if path.stem != entry.name or entry.name != entry.name.lower():
        yield (f'`Name` must be the lower-case stem of `Config`, got config '
               f'{entry.config!r}.')
    if path.parts[:1] != ('configs', ) or not (index.root / path).is_file():
        yield f'`Config` must be a file below configs/, got {entry.config!r}.'
    elif (index.root / path).parent.resolve() != entry.metafile.parent.resolve(
    ):
        yield f'`Config` {entry.config} lies in another folder.'
    if entry.collection not in index.collections:
        yield (f'`In Collection` must be one of {sorted(index.collections)}, '
               f'got {entry.collection!r}.')


def _metadata_faults(entry: ModelEntry) -> Iterator[str]:
    for key in ('Parameters', 'FLOPs'):
        value = entry.metadata.get(key)
        if value is not None and (type(value) is not int or value <= 0):
            yield f'`{key}` must be a positive int, got {value!r}.'
    for key, value in entry.metadata.items():
        # mim joins lists of text and reads the first item of any list.
        if isinstance(value, list) and (not value or not all(
                isinstance(item, (str, dict)) for item in value)):
            yield f'Metadata `{key}` must be a list of text, got {value!r}.'


def _result_faults(entry: ModelEntry) -> Iterator[str]:
    if entry.results and not (entry.measured
                              or _REPORTED.fullmatch(entry.source)):
        yield (f'`Source` must be {MEASURED!r} or "reported by ...", got '
               f'{entry.source!r}.')
    for result in entry.results:
        if result.get('Dataset') not in DATASETS:
            yield (f'`Dataset` must be one of {", ".join(DATASETS)}, got '
                   f'{result.get("Dataset")!r}.')
        metrics = result.get('Metrics')
        if not isinstance(result.get('Task'), str) or not metrics:
            yield f'a result needs `Task` and `Metrics`, got {result!r}.'
            continue
        for name, value in metrics.items():
            if name not in _METRICS or not _is_percentage(value):
                yield (f'a metric must be one of {", ".join(_METRICS)} in '
                       f'[0, 100], got {name}: {value!r}.')


def _is_percentage(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 100


def _weights_faults(entry: ModelEntry) -> Iterator[str]:
    if not isinstance(entry.raw.get('Weights'), str):
        # mim and the inferencer stumble over an absent or empty value.
        yield "`Weights` must be text, '' where there are none."
    if ',' in entry.weights:
        yield f'`Weights` must be one URL, got {entry.weights!r}.'
    if not entry.sha256:
        if entry.measured and entry.weights:
            yield '`Weights` that are published here need their `SHA256`.'
        return
    if not re.fullmatch('[0-9a-f]{64}', entry.sha256):
        yield f'`SHA256` must be 64 hexadecimal digits, got {entry.sha256!r}.'
    wanted = f'{entry.name}-{entry.sha256[:8]}.pth'
    if entry.weights_file != wanted:
        yield f'`Weights` must name the file {wanted}, got {entry.weights!r}.'


def record_faults(root: Path, entry: ModelEntry) -> Iterator[str]:
    """Yield where an entry disagrees with the run record it cites."""
    if not entry.run_record:
        if entry.measured:
            yield f'numbers that are {MEASURED!r} need a `Run Record`.'
        return
    path = root / entry.run_record
    if not path.is_file():
        yield f'`Run Record` {entry.run_record} does not exist.'
        return
    record = json.loads(path.read_text('utf-8'))
    if record['config']['name'] != entry.name:
        yield (f'{entry.run_record} is a record of '
               f'{record["config"]["name"]!r}.')
    stated = [dict(result['Metrics']) for result in entry.results]
    proved = published_metrics(record)
    datasets = [result.get('Dataset') for result in entry.results]
    if datasets != [dataset_of(entry.name)]:
        yield (f'`Results` must be of the data set {dataset_of(entry.name)}, '
               f'got {datasets}.')
    if stated != [proved]:
        yield (f'`Results` must be the metrics of {entry.run_record}, '
               f'{proved}, got {stated}; publish again.')
    parameters = (record.get('model') or {}).get('parameters')
    if entry.parameters != parameters:
        yield (f'`Parameters` must be those of {entry.run_record}, '
               f'{parameters}, got {entry.parameters}.')
    published = record.get('published') or {}
    if entry.sha256 != published.get('sha256', ''):
        yield (f'`SHA256` must be that of {entry.run_record}, '
               f'{published.get("sha256")!r}, got {entry.sha256!r}.')


def weights_match_record(weights_meta: Mapping[str, Any],
                         record: Mapping[str, Any]) -> bool:
    """Whether the ``meta`` of published weights names this run record."""
    return weights_meta.get('run_record_sha256') == record_sha256(record)


def drifted_configs(index: ModelIndex) -> Dict[str, List[str]]:
    """Return the entries whose config changed since their record.

    No fault by itself: whoever changes a config that has published numbers
    decides whether to train and publish again.

    Returns:
        Model name -> settings that differ.
    """
    drifted = {}
    for entry in index.models:
        path = index.root / entry.run_record
        if entry.run_record and path.is_file():
            record = json.loads(path.read_text('utf-8'))
            changed = changed_settings(index.root / entry.config, record)
            if changed:
                drifted[entry.name] = changed
    return drifted
