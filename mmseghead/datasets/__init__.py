"""Data sets, transforms and converters."""
from . import transforms

__all__ = ['transforms']
