"""Looking at config, data and memory before the first iteration."""
from typing import Any, List, Optional

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import BaseLoop

from mmseghead.registry import HOOKS
from mmseghead.utils.findings import Finding, describe_findings, has_errors
from ..preflight import (batch_findings, data_findings, foreign_weights,
                         key_findings, memory_findings)


@HOOKS.register_module()
class PreflightHook(Hook):
    """Check a run before its first iteration, and stop on errors.

    Looked at are keys of the config that nothing reads, images of the
    training and validation set, what filters leave out, the learning rate
    against the batch size, and how much memory a step will take. Classes,
    counts and files are ``InstanceDataset``'s and ``ClassCheckHook``'s
    affair. ``tools/misc/check_config.py`` does all of it without a run.

    Weights that are loaded must be the model's: for a test all of them, for
    training at least one of each ten, as heads may be new.

    Weights, buffers and random states are as without the hook.

    Args:
        images: How many images of each set to open, evenly spread; None: all.
        memory: Whether to estimate memory, by one image sent forward.

    Raises:
        TypeError: if ``images`` is no int.
        ValueError: if ``images`` is below 0.
    """

    priority = 'VERY_HIGH'

    def __init__(self, images: Optional[int] = 8, memory: bool = True) -> None:
        if images is not None and not isinstance(images, int):
            raise TypeError('`images` of PreflightHook must be an int or '
                            f'None, got {images!r}.')
        if images is not None and images < 0:
            raise ValueError('`images` of PreflightHook must be >= 0 or None, '
                             f'got {images}.')
        self.images = images
        self.memory = memory

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Compare a checkpoint's weights with the model's.

        Raises:
            ValueError: if it is a checkpoint of another model.
        """
        model = runner.model
        if is_model_wrapper(model):
            model = model.module
        # A wrapper for test-time augmentation gets its model's weights.
        model = getattr(model, 'module', model)
        testing = isinstance(runner._test_loop, BaseLoop) or isinstance(
            runner._val_loop, BaseLoop) and not isinstance(
                runner._train_loop, BaseLoop)
        trained = (checkpoint.get('meta') or {}).get('config_name') or (
            checkpoint.get('meta') or {}).get('experiment_name', '')
        message = foreign_weights(
            model, checkpoint.get('state_dict', checkpoint),
            1.0 if testing else 0.1)
        if message:
            of = f' (of {trained})' if trained else ''
            raise ValueError(f'The checkpoint{of} is not one of this model: '
                             f'{message}')

    def before_train(self, runner: Any) -> None:
        """Check, and log what was found.

        Every process does, as losses average over all of them.

        Raises:
            ValueError: with all findings, if one of them is an error.
        """
        findings = self._findings(runner)
        text = describe_findings(findings)
        if has_errors(findings):
            raise ValueError(f'Preflight found errors:\n{text}')
        for finding in findings:
            log = runner.logger.warning if finding.severity == 'warning' \
                else runner.logger.info
            log(f'Preflight, {finding.part}: {finding.message}')

    def _findings(self, runner: Any) -> List[Finding]:
        train = runner.train_loop.dataloader.dataset
        found = [*key_findings(runner.cfg)]
        found += data_findings(train, 'train data', self.images)
        if runner.val_loop is not None:
            found += data_findings(runner.val_loop.dataloader.dataset,
                                   'val data', self.images)
        found += batch_findings(runner.cfg, get_world_size())
        if self.memory and not has_errors(found):
            model = runner.model
            if is_model_wrapper(model):
                model = model.module
            found += memory_findings(model, train, runner.cfg)
        return found
