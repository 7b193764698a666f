"""Coders."""
from .polar_coder import PolarCoder

__all__ = ['PolarCoder']
