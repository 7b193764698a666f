"""Hooks."""
from .run_record_hook import RunRecordHook
from .step_seed_hook import StepSeedHook

__all__ = ['RunRecordHook', 'StepSeedHook']
