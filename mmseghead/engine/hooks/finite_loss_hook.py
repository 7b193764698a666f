"""Stopping at a loss that is no number."""
import math
from typing import Any, Dict, List, Optional

import torch
from mmengine.hooks import Hook

from mmseghead.registry import HOOKS

_SHOWN = 8


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop when the loss is NaN or infinite, and name the images.

    mmdet's ``CheckInvalidLossHook`` looks at each fiftieth step and does not
    say what the step has seen. The last checkpoint is from before.

    Args:
        patience: Stop at so many such steps in a row. More than 1 is for
            float16, whose scaler skips a step that overflows.

    Raises:
        ValueError: if ``patience`` is no int >= 1.
    """

    priority = 'VERY_HIGH'

    def __init__(self, patience: int = 1) -> None:
        if not isinstance(patience, int) or patience < 1:
            raise ValueError('`patience` of FiniteLossHook must be an int '
                             f'>= 1, got {patience!r}.')
        self.patience = patience
        self._row = 0

    def after_train_iter(self,
                         runner: Any,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[Dict[str, Any]] = None) -> None:
        """Look at the losses of a step.

        Raises:
            FloatingPointError: with the losses, the images and what to do.
        """
        losses = {
            name: float(torch.as_tensor(value).detach())
            for name, value in (outputs or {}).items() if 'loss' in name
        }
        if all(map(math.isfinite, losses.values())):
            self._row = 0
            return
        self._row += 1
        if self._row < self.patience:
            return
        shown = ', '.join(f'{name} {value:g}'
                          for name, value in losses.items())
        rates = runner.optim_wrapper.get_lr()
        rate = max(rate for group in rates.values() for rate in group)
        raise FloatingPointError(
            f'The loss of step {runner.iter + 1} is no number ({shown}). Its '
            f'images: {_images(data_batch)}. If they look right, lower '
            f'optim_wrapper.optimizer.lr (now {rate:.3g}), clip gradients, '
            'or train without --amp; the last checkpoint is from before.')


def _images(data_batch: Optional[dict]) -> str:
    samples = (data_batch or {}).get('data_samples') or []
    names: List[str] = [
        str(getattr(sample, 'img_path', '?')) for sample in samples
    ]
    more = f' and {len(names) - _SHOWN} more' if len(names) > _SHOWN else ''
    return ', '.join(names[:_SHOWN]) + more
