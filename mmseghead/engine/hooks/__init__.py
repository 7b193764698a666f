"""Hooks."""
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .class_check_hook import ClassCheckHook
from .preflight_hook import PreflightHook
from .run_record_hook import RunRecordHook
from .step_seed_hook import StepSeedHook

__all__ = [
    'AtomicCheckpointHook', 'ClassCheckHook', 'PreflightHook', 'RunRecordHook',
    'StepSeedHook'
]
