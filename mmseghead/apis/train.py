"""Configs turned into runs: what ``tools/train.py`` and ``test.py`` call."""
import argparse
import contextlib
import os
import os.path as osp
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Sequence

import torch
import torch.distributed as torch_dist
from mmengine.config import Config, DictAction
from mmengine.device import is_cuda_available
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmseghead import ops
from mmseghead.engine.hooks.run_record_hook import mark_failed
from mmseghead.utils import fan_out_classes, register_all_modules
from mmseghead.utils.mask_budget import (DEFAULT_MASK_BUDGET_MIB,
                                         set_mask_budget)
from mmseghead.utils.option_keys import check_option_keys
from .tta import DEFAULT_FLIPS, DEFAULT_SCALES

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def check_device(device: str) -> None:
    """Stop if ``'cuda'`` is asked for and there is no GPU.

    Raises:
        RuntimeError: saying which PyTorch found none.
    """
    if device == 'cuda' and not is_cuda_available():
        raise RuntimeError(f'--device cuda: PyTorch {torch.__version__} finds '
                           'no GPU; `python -m mmseghead.doctor` says more.')


def parse_options(pairs: Optional[Sequence[str]]) -> Dict[str, Any]:
    """Turn ``key=value`` pairs of a command line into overrides.

    Values are read as by mmengine's ``DictAction``: numbers, booleans,
    ``a,b`` and ``[a,b]`` lists, tuples, else text.

    Raises:
        ValueError: if a pair has no key or no ``=``.
    """
    if not pairs:
        return {}
    for pair in pairs:
        if pair.find('=') < 1:
            raise ValueError(
                f'--cfg-options takes key=value pairs, got {pair!r}.')
    parser = argparse.ArgumentParser()
    parser.add_argument('--options', nargs='+', action=DictAction)
    return parser.parse_args(['--options', *pairs]).options


def load_config(path: str,
                *,
                work_dir: Optional[str] = None,
                cfg_options: Optional[Dict[str, Any]] = None,
                launcher: str = 'none') -> Config:
    """Read a config and settle what all runs share.

    The work folder is, in this order: ``work_dir``, the config's own, or
    ``work_dirs/<config name>``. The top-level ``classes`` reach every head
    and data set. Two top-level settings get their defaults, so that overrides
    know them: ``mask_budget_mib``, which all heads obey when they make masks
    (see ``set_mask_budget``), and ``tta``, the views of test-time
    augmentation (see ``enable_tta``).

    Args:
        path: The config file.
        work_dir: Folder of logs, checkpoints and run records.
        cfg_options: Overrides by dotted key.
        launcher: One of ``LAUNCHERS``.

    Raises:
        FileNotFoundError: if there is no such file.
        KeyError: if an override names a key that does not exist but
            resembles one that does.
    """
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'config {path!r} does not exist; configs of the zoo lie below '
            'configs/ and are listed in model_index.yml.')
    register_all_modules(init_default_scope=False)
    cfg = Config.fromfile(path)
    cfg.launcher = launcher
    if 'mask_budget_mib' not in cfg:
        cfg.mask_budget_mib = DEFAULT_MASK_BUDGET_MIB
    cfg.tta = dict(
        dict(flips=DEFAULT_FLIPS, scales=DEFAULT_SCALES),
        **cfg.get('tta') or {})
    if cfg_options:
        check_option_keys(cfg, cfg_options)
        cfg.merge_from_dict(cfg_options)
    fan_out_classes(cfg)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = osp.join('work_dirs', Path(path).stem)
    return cfg


def enable_amp(cfg: Config) -> None:
    """Turn on automatic mixed precision, float16 on GPU, bfloat16 on CPU.

    Raises:
        ValueError: if the config's optimizer wrapper is of another kind.
    """
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError('--amp needs `optim_wrapper.type` OptimWrapper or '
                         f'AmpOptimWrapper, got {kind}.')
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if is_cuda_available():
        cfg.optim_wrapper.loss_scale = 'dynamic'
    else:
        # mmcv's compiled operators for the CPU know float32 only.
        ops.install('torch')
        cfg.optim_wrapper.dtype = 'bfloat16'
        # bfloat16 has float32's range, so that there is nothing to scale.
        cfg.optim_wrapper.loss_scale = 1.0


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate with the batch size, as the config allows.

    Raises:
        KeyError: if the config does not say its base batch size.
    """
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise KeyError('--auto-scale-lr needs `auto_scale_lr = '
                       'dict(base_batch_size=...)` in the config.')
    cfg.auto_scale_lr.enable = True


def set_resume(cfg: Config, resume: Optional[str]) -> None:
    """Resume from the latest checkpoint (``'auto'``) or from a given one.

    Raises:
        FileNotFoundError: if the checkpoint given does not exist.
    """
    if resume is None:
        return
    cfg.resume = True
    if resume == 'auto':
        cfg.load_from = None
        return
    if '://' not in resume and not osp.isfile(resume):
        raise FileNotFoundError(f'--resume {resume!r} does not exist.')
    cfg.load_from = resume


def set_outputs(cfg: Config,
                *,
                out: Optional[str] = None,
                show: bool = False,
                show_dir: Optional[str] = None,
                wait_time: float = 2.) -> None:
    """Say where the predictions of a test go.

    Args:
        cfg: The config of the test.
        out: ``.pkl`` file for all predictions.
        show: Whether to show each picture in a window.
        show_dir: Folder, below the work folder's time stamp, of pictures
            with ground truth at the left and predictions at the right.
        wait_time: Seconds a window stays.

    Raises:
        ValueError: if ``out`` has another ending.
        KeyError: if the config has no visualization hook to draw with.
    """
    if out is not None:
        if not out.endswith(('.pkl', '.pickle')):
            raise ValueError(f'--out must end in .pkl, got {out!r}.')
        evaluators = cfg.test_evaluator
        if not isinstance(evaluators, (list, tuple)):
            evaluators = [evaluators]
        cfg.test_evaluator = [
            *evaluators,
            dict(type='mmseghead.DumpDetResults', out_file_path=out)
        ]
    if not (show or show_dir):
        return
    if 'visualization' not in cfg.default_hooks:
        raise KeyError('--show and --show-dir need a hook '
                       '`default_hooks.visualization` in the config.')
    cfg.default_hooks.visualization.update(
        draw=True, show=show, wait_time=wait_time)
    if show_dir:
        cfg.default_hooks.visualization.test_out_dir = show_dir


def _prepare_cpu(cfg: Config) -> None:
    """Settle what mmengine takes for granted on a GPU."""
    if cfg.launcher == 'none':
        return
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    if not torch_dist.is_initialized():
        # mmengine's own start would call torch.cuda.set_device.
        torch_dist.init_process_group('gloo')
    # Its DDP wrapper would name a GPU unless told there is none.
    cfg.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False))


def build_runner(cfg: Config) -> Runner:
    """Build the runner that the config asks for, on CPU or GPU.

    Raises:
        TypeError: if ``mask_budget_mib`` is no number.
        ValueError: if it is negative.
    """
    set_mask_budget(cfg.get('mask_budget_mib', DEFAULT_MASK_BUDGET_MIB))
    if not is_cuda_available():
        _prepare_cpu(cfg)
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


@contextlib.contextmanager
def without_denormals() -> Iterator[None]:
    """Let the CPU take denormal numbers for zero inside.

    They are common where masks saturate, and cost a hundredfold. The mode is
    the whole thread's, so that it is put back for the caller.
    """
    smallest = torch.tensor(5e-324, dtype=torch.float64)
    before = bool(smallest * 1 == 0)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def train(cfg: Config) -> Runner:
    """Train, and leave a run record whatever happens.

    Returns:
        The runner after training.
    """
    try:
        with without_denormals():
            runner = build_runner(cfg)
            runner.train()
    except BaseException as error:
        mark_failed(cfg.work_dir, error)
        raise
    return runner


def test(cfg: Config, checkpoint: str) -> Dict[str, float]:
    """Evaluate a checkpoint, and leave a run record whatever happens.

    Args:
        cfg: A config with a test data loader and evaluator.
        checkpoint: File, URL, or ``mmseghead://`` name of the weights.

    Returns:
        The metrics.

    Raises:
        FileNotFoundError: if the checkpoint is a file that does not exist.
    """
    if '://' not in checkpoint and not osp.isfile(checkpoint):
        raise FileNotFoundError(
            f'checkpoint {checkpoint!r} does not exist (working folder '
            f'{os.getcwd()}).')
    cfg.load_from = checkpoint
    try:
        with without_denormals():
            return build_runner(cfg).test()
    except BaseException as error:
        mark_failed(cfg.work_dir, error)
        raise
