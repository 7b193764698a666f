"""Hooks."""
from .class_check_hook import ClassCheckHook
from .run_record_hook import RunRecordHook
from .step_seed_hook import StepSeedHook

__all__ = ['ClassCheckHook', 'RunRecordHook', 'StepSeedHook']
