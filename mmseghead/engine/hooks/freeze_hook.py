"""Training of a part of a model."""
import difflib
from typing import Any, List, Sequence

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseghead.registry import HOOKS


@HOOKS.register_module()
class FreezeHook(Hook):
    """Keep a part of the model as it is while the rest learns.

    For little data, or to compare heads on the same features. Frozen
    parameters get no gradient, which also saves its computing, and batch
    norms among them keep their statistics. Give either ``freeze`` or
    ``train_only``, the beginnings of parameter names up to a dot, such as
    ``backbone`` or ``bbox_head.mask_branch``.

    Args:
        freeze: What is frozen.
        train_only: All but this is frozen.

    Raises:
        ValueError: if not exactly one of the two is given; before training,
            if a name is none of the model's, says what is near; if nothing is
            left to learn; or if the model is wrapped for several processes
            without ``find_unused_parameters``.
    """

    def __init__(self,
                 freeze: Sequence[str] = (),
                 train_only: Sequence[str] = ()) -> None:
        for name, value in (('freeze', freeze), ('train_only', train_only)):
            if isinstance(value, str):
                raise ValueError(f'`{name}` of FreezeHook must be a list of '
                                 f'names, got the text {value!r}.')
        if bool(freeze) == bool(train_only):
            raise ValueError('FreezeHook needs either `freeze` or '
                             f'`train_only`, got {freeze!r} and '
                             f'{train_only!r}.')
        self.freeze = tuple(freeze)
        self.train_only = tuple(train_only)
        self._norms: List[nn.Module] = []

    def before_train(self, runner: Any) -> None:
        """Freeze."""
        model = runner.model
        if is_model_wrapper(model):
            if not getattr(model, 'find_unused_parameters', True):
                raise ValueError(
                    'FreezeHook in several processes needs '
                    '`find_unused_parameters=True` at the top of the config.')
            model = model.module
        prefixes = self.freeze or self.train_only
        _check(prefixes, [name for name, _ in model.named_parameters()])
        left = 0
        for name, parameter in model.named_parameters():
            if _under(name, prefixes) == bool(self.freeze):
                parameter.requires_grad_(False)
            left += parameter.requires_grad and parameter.numel()
        if not left:
            raise ValueError(f'FreezeHook({prefixes}) leaves nothing of the '
                             'model to learn.')
        self._norms = [
            module for name, module in model.named_modules()
            if isinstance(module, _BatchNorm)
            and _under(name, prefixes) == bool(self.freeze)
        ]
        runner.logger.info(f'{left} parameters learn, the others are frozen.')

    def before_train_iter(self,
                          runner: Any,
                          batch_idx: int,
                          data_batch: Any = None) -> None:
        """Keep the statistics; a validation switches the norms back."""
        for norm in self._norms:
            norm.eval()


def _under(name: str, prefixes: Sequence[str]) -> bool:
    return any(f'{name}.'.startswith(f'{prefix}.') for prefix in prefixes)


def _check(prefixes: Sequence[str], names: Sequence[str]) -> None:
    parts = {
        '.'.join(name.split('.')[:i])
        for name in names for i in range(1, len(name.split('.')) + 1)
    }
    for prefix in prefixes:
        if prefix not in parts:
            near = difflib.get_close_matches(prefix, sorted(parts), n=3)
            raise ValueError(f'FreezeHook: the model has no {prefix!r}. '
                             f'Nearest: {", ".join(near) or "none"}.')
