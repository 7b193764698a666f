"""Assigners, coders, prior generators and samplers."""
from .coders import PolarCoder

__all__ = ['PolarCoder']
