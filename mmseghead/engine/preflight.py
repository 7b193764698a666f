"""Checks before the first iteration, on what a Runner has or will build."""
import contextlib
from typing import Any, ContextManager, Iterator, Mapping, Optional

import torch
from torch import Tensor, nn

from mmseghead.datasets.data_checks import image_problems, inner_datasets
from mmseghead.utils.config_lint import find_unread_keys
from mmseghead.utils.findings import Finding
from mmseghead.utils.free_memory import free_bytes
from .memory_estimate import estimate_memory

_SHOWN = 5


def key_findings(cfg: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield an error for each key of a config that nothing reads."""
    for message in find_unread_keys(cfg):
        yield Finding('error', 'config key', message)


def data_findings(dataset: Any, part: str,
                  sample: Optional[int]) -> Iterator[Finding]:
    """Check what a data set left out, and its images.

    Args:
        dataset: A loaded data set, or wrappers around some.
        part: What to call it, such as ``'train data'``.
        sample: How many images to open; None: all.

    Yields:
        What was dropped by which rule, a warning if it was much; an error for
        each image that is missing, broken or of another size, and a warning
        for each that loses something when it is read.
    """
    for inner in inner_datasets(dataset):
        dropped = getattr(inner, 'dropped', None)
        if dropped is not None:
            yield _dropped(dropped, part, inner)
        problems = image_problems(_Infos(inner), sample)
        for severity in ('error', 'warning'):
            messages = [
                problem.message for problem in problems
                if problem.severity == severity
            ]
            for message in messages[:_SHOWN]:
                yield Finding(severity, part, message)
            if len(messages) > _SHOWN:
                yield Finding(severity, part,
                              f'... and {len(messages) - _SHOWN} more images.')


class _Infos:
    """The entries of a data set as a sequence, unpacked when asked for."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> dict:
        return self._dataset.get_data_info(index)


def _dropped(dropped: Any, part: str, dataset: Any) -> Finding:
    reasons = []
    if dropped.empty:
        reasons.append(f'{dropped.empty} without instances '
                       '(filter_cfg.filter_empty_gt)')
    if dropped.small:
        least = (dataset.filter_cfg or {}).get('min_size')
        reasons.append(f'{dropped.small} with a side below {least} px '
                       '(filter_cfg.min_size)')
    text = (f'{dropped.kept} of {dropped.images} images of '
            f'{dataset.ann_file}')
    if reasons:
        text += ', left out ' + ' and '.join(reasons)
    text += f'; {dropped.instances - dropped.boxes} of {dropped.instances} ' \
        'instances'
    if dropped.boxes:
        text += (f': {dropped.boxes} boxes have no area, lie outside of '
                 'their image or are marked to be ignored')
    much = dropped.kept * 2 < dropped.images or \
        dropped.boxes * 10 > dropped.instances
    return Finding('warning' if much else 'info', part, text + '.')


def batch_findings(cfg: Mapping[str, Any],
                   world_size: int = 1) -> Iterator[Finding]:
    """Compare the learning rate with the batch size it was made for.

    Args:
        cfg: A config; without ``auto_scale_lr.base_batch_size`` nothing can
            be said.
        world_size: Number of processes.

    Yields:
        A warning if they do not fit and the rate is not scaled.
    """
    scaling = cfg.get('auto_scale_lr') or {}
    base, loader = scaling.get('base_batch_size'), cfg.get('train_dataloader')
    wrapper = cfg.get('optim_wrapper') or {}
    rate = (wrapper.get('optimizer') or {}).get('lr')
    if not base or not loader or not rate or scaling.get('enable'):
        return
    batch = loader.get('batch_size', 1) * world_size * wrapper.get(
        'accumulative_counts', 1)
    if batch != base:
        yield Finding(
            'warning', 'learning rate',
            f'{rate} was chosen for batches of {base} images, a step here '
            f'has {batch}. In proportion it is {rate * batch / base:.3g}: '
            'give --auto-scale-lr, or set optim_wrapper.optimizer.lr.')


def memory_findings(model: nn.Module, dataset: Any,
                    cfg: Mapping[str, Any]) -> Iterator[Finding]:
    """Estimate the memory of a step from the first image of a data set.

    Args:
        model: The detector, where it will be trained.
        dataset: The training set.
        cfg: The config, for batch size and optimizer.

    Yields:
        The estimate; a warning if it is more than what is free.
    """
    device = next(model.parameters()).device
    batch = (cfg.get('train_dataloader') or {}).get('batch_size', 1)
    wrapper = cfg.get('optim_wrapper') or {}
    with _precision(wrapper, device):
        estimate = estimate_memory(model, dataset[0], batch,
                                   wrapper.get('optimizer') or {})
    parts = ', '.join(
        f'{name} {_mib(size)}'
        for name, size in estimate._asdict().items())
    text = (f'a step of {batch} images takes about {_mib(estimate.total)} of '
            f'{device.type} memory ({parts}), judged by one image')
    free = free_bytes(device)
    tight = free is not None and estimate.total > free
    if free is not None:
        text += f'; {_mib(free)} are free'
    if tight:
        text += '. Take a smaller train_dataloader.batch_size, or --amp'
    yield Finding('warning' if tight else 'info', 'memory', text + '.')


def foreign_weights(model: nn.Module, weights: Mapping[str, Tensor],
                    least: float) -> str:
    """Say how weights differ from a model's, if they differ too much.

    Args:
        model: What is to be loaded into.
        weights: ``state_dict`` of a checkpoint, ``module.`` before its keys
            or not.
        least: Share of the model's tensors that must be there, in their
            shape.

    Returns:
        A message with the first names and shapes; '' if the share is reached.
    """
    given = {key.removeprefix('module.'): w for key, w in weights.items()}
    own = model.state_dict()
    faults = []
    for name, tensor in own.items():
        other = given.get(name)
        if other is None:
            faults.append(f'{name} is missing')
        elif other.shape != tensor.shape:
            faults.append(f'{name} is {tuple(other.shape)}, not '
                          f'{tuple(tensor.shape)}')
    if len(own) - len(faults) >= least * len(own):
        return ''
    shown = '; '.join(faults[:_SHOWN])
    more = f'; and {len(faults) - _SHOWN} more' if len(faults) > _SHOWN else ''
    return f'{len(faults)} of {len(own)} tensors do not fit: {shown}{more}.'


def _precision(wrapper: Mapping[str, Any],
               device: torch.device) -> ContextManager:
    """Return the mixed precision that an optimizer wrapper trains in."""
    if wrapper.get('type') != 'AmpOptimWrapper':
        return contextlib.nullcontext()
    usual = 'float16' if device.type == 'cuda' else 'bfloat16'
    name = wrapper.get('dtype') or usual
    return torch.autocast(device.type, dtype=getattr(torch, name))


def _mib(size: int) -> str:
    return f'{size / 2**20:.0f} MiB'
