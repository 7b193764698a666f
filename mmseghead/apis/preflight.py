"""All checks of a config without running it."""
import contextlib
import os
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

from mmseghead.datasets.coco_checks import find_problems
from mmseghead.datasets.coco_json import read_json
from mmseghead.engine.hooks.class_check_hook import (OTHER_CLASSES,
                                                     wrong_class_counts)
from mmseghead.engine.preflight import (batch_findings, data_findings,
                                        key_findings, memory_findings)
from mmseghead.registry import DATASETS
from mmseghead.utils.fan_out import inner_dataset_configs
from mmseghead.utils.findings import Finding
from .cost import build_model

_MODES = ('train', 'val', 'test')
_SHOWN = 3
# What a config's mistakes raise while parts are built.
_MISTAKES = (ValueError, TypeError, KeyError, AttributeError, OSError,
             AssertionError, ImportError, RuntimeError)


def preflight(cfg: Config,
              images: Optional[int] = 50,
              memory: bool = True) -> List[Finding]:
    """Check a config, its data and its model, and go on after an error.

    Args:
        cfg: From ``load_config``.
        images: How many images of each set to open, evenly spread; None: all.
        memory: Whether to estimate the memory of a step.

    Returns:
        What was found: keys that nothing reads; faults of annotation files;
        classes that differ; what filters leave out; images that are missing
        or broken; heads with another number of classes; evaluators that read
        another file; a learning rate for another batch size; memory.
    """
    found = list(key_findings(cfg))
    scope = cfg.get('default_scope') or 'mmseghead'
    with DefaultScope.overwrite_default_scope(scope):
        datasets = _datasets(cfg, found, images)
        model = _model(cfg, found)
        if model is not None:
            _compare_classes(model, datasets, found)
        found += _evaluator_findings(cfg)
        found += batch_findings(cfg)
        if memory and model is not None and 'train' in datasets:
            with _caught(found, 'memory'):
                found += memory_findings(model, datasets['train'], cfg)
    return found


@contextlib.contextmanager
def _caught(found: List[Finding], part: str) -> Iterator[None]:
    """Turn a mistake that raises inside the block into a finding."""
    try:
        yield
    except _MISTAKES as error:
        text = str(error) if isinstance(error, (ValueError, OSError)) else \
            f'{type(error).__name__}: {error}'
        found.append(Finding('error', part, text))


def _datasets(cfg: Config, found: List[Finding],
              images: Optional[int]) -> Dict[str, Any]:
    """Build and check the data sets of training, validation and test."""
    built: Dict[str, Any] = {}
    seen: Dict[str, str] = {}
    for mode in _MODES:
        config = (cfg.get(f'{mode}_dataloader') or {}).get('dataset')
        if config is None:
            continue
        text = repr(config)
        if text in seen:
            found.append(
                Finding('info', f'{mode} data',
                        f'the same as that of {seen[text]}.'))
            continue
        seen[text] = mode
        _annotation_findings(config, f'{mode} data', found)
        with _caught(found, f'{mode} data'):
            dataset = DATASETS.build(config)
            built[mode] = dataset
            found += data_findings(dataset, f'{mode} data', images)
    return built


def _annotation_findings(config: Any, part: str,
                         found: List[Finding]) -> None:
    """Add the warnings of annotation files; errors stop the data set."""
    for inner in inner_dataset_configs(config):
        path = os.path.join(inner.get('data_root') or '',
                            inner.get('ann_file') or '')
        if not os.path.isfile(path):
            continue
        with contextlib.suppress(ValueError):  # the data set will say it
            problems = find_problems(read_json(path), self_intersections=True)
            for message in problems.warnings[:_SHOWN]:
                found.append(Finding('warning', part, f'{path}: {message}'))
            more = len(problems.warnings) - _SHOWN
            if more > 0:
                found.append(
                    Finding('warning', part,
                            f'{path}: ... and {more} more warnings.'))


def _model(cfg: Config, found: List[Finding]) -> Optional[nn.Module]:
    with _caught(found, 'model'):
        return build_model(cfg)
    return None


def _compare_classes(model: nn.Module, datasets: Dict[str, Any],
                     found: List[Finding]) -> None:
    for mode, dataset in datasets.items():
        number = len(dataset.metainfo['classes'])
        wrong = wrong_class_counts(model, number, OTHER_CLASSES)
        for path, count in wrong.items():
            found.append(
                Finding(
                    'error', 'model',
                    f'model.{path}.num_classes must be {number}, the number '
                    f'of classes of the {mode} data, got {count}. Set '
                    '`classes` at the top of the config: every head follows.'))


def _evaluator_findings(cfg: Config) -> Iterator[Finding]:
    """Compare each evaluator's annotation file with its data set's."""
    for mode in _MODES[1:]:
        config = (cfg.get(f'{mode}_dataloader') or {}).get('dataset')
        evaluators = cfg.get(f'{mode}_evaluator') or []
        if config is None:
            continue
        files = {
            os.path.realpath(
                os.path.join(
                    inner.get('data_root') or '',
                    inner.get('ann_file') or ''))
            for inner in inner_dataset_configs(config)
        }
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        for evaluator in evaluators:
            path = evaluator.get('ann_file')
            if path and len(files) == 1 and not evaluator.get(
                    'federated') and os.path.realpath(path) not in files:
                yield Finding(
                    'error', f'{mode} evaluator',
                    f'{evaluator["type"]} reads {path}, but '
                    f'{mode}_dataloader reads {config.get("ann_file")} below '
                    f'{config.get("data_root")!r}. Both must be one file.')
