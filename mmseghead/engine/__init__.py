"""Hooks and other parts of the training engine."""
from . import hooks

__all__ = ['hooks']
