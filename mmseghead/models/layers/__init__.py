"""Learned blocks a config may swap or several methods share."""
from .attention_map import AttentionMap

__all__ = ['AttentionMap']
