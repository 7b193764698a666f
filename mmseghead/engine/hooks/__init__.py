"""Hooks."""
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .class_check_hook import ClassCheckHook
from .early_stop_hook import EarlyStopHook
from .finite_loss_hook import FiniteLossHook
from .freeze_hook import FreezeHook
from .preflight_hook import PreflightHook
from .run_record_hook import RunRecordHook
from .step_seed_hook import StepSeedHook
from .val_loss_hook import ValLossHook

__all__ = [
    'AtomicCheckpointHook', 'ClassCheckHook', 'EarlyStopHook',
    'FiniteLossHook', 'FreezeHook', 'PreflightHook', 'RunRecordHook',
    'StepSeedHook', 'ValLossHook'
]
