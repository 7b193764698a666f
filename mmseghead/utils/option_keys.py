"""Overrides from the command line that name keys that exist."""
import difflib
from typing import Any, Dict, Iterable

# Keys of mmengine's Runner and of our tools that a config may lack.
RUNNER_KEYS = ('model', 'work_dir', 'train_dataloader', 'val_dataloader',
               'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg',
               'auto_scale_lr', 'optim_wrapper', 'param_scheduler',
               'val_evaluator', 'test_evaluator', 'default_hooks',
               'custom_hooks', 'data_preprocessor', 'load_from', 'resume',
               'launcher', 'env_cfg', 'log_processor', 'log_level',
               'visualizer', 'default_scope', 'randomness', 'experiment_name',
               'model_wrapper_cfg', 'runner_type', 'custom_imports', 'classes',
               'find_unused_parameters', 'sync_bn', 'compile', 'strategy',
               'efficient_conv_bn_eval', 'mask_budget_mib')
# How alike an unknown key must be to an existing one to count as its typo.
_ALIKE = 0.8


def check_option_keys(cfg: Any, options: Dict[str, Any]) -> None:
    """Stop on an override whose key is likely mistyped.

    mmengine creates whatever key is named, so that ``train_cfg.max_iter=2``
    changes nothing. A key that the config lacks passes only if it is a
    Runner's top-level key or resembles none of its neighbours.

    Args:
        cfg: The config before the overrides.
        options: Dotted keys and their values.

    Raises:
        KeyError: naming the key and the nearest existing ones.
    """
    for dotted in options:
        node: Any = cfg
        parts = dotted.split('.')
        for depth, part in enumerate(parts):
            if isinstance(node, (list, tuple)):
                if not part.isdigit() or int(part) >= len(node):
                    where = '.'.join(parts[:depth])
                    raise KeyError(
                        f'--cfg-options {dotted}: `{where}` is a list of '
                        f'{len(node)}; got the index {part!r}.')
                node = node[int(part)]
                continue
            if not isinstance(node, dict) and depth:
                break  # a plain value is being replaced by a dict
            if part not in node:
                _check_new(dotted, parts[:depth], part, node)
                break
            node = node[part]


def _check_new(dotted: str, path: list, part: str,
               node: Iterable[str]) -> None:
    known = list(node) + ([] if path else list(RUNNER_KEYS))
    near = difflib.get_close_matches(part, known, n=3, cutoff=_ALIKE)
    if part in known or (path and not near):
        return
    where = '.'.join(path) or 'the config'
    near = near or difflib.get_close_matches(part, known, n=3)
    hint = f' Did you mean {" or ".join(near)}?' if near else ''
    raise KeyError(f'--cfg-options {dotted}: {where} has no key '
                   f'{part!r}.{hint}')
