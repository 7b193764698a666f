"""Hooks."""
from .class_check_hook import ClassCheckHook
from .early_stop_hook import EarlyStopHook
from .run_record_hook import RunRecordHook
from .step_seed_hook import StepSeedHook
from .val_loss_hook import ValLossHook

__all__ = [
    'ClassCheckHook', 'EarlyStopHook', 'RunRecordHook', 'StepSeedHook',
    'ValLossHook'
]
