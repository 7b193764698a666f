"""Mask heads of RoI heads."""
from .effseg_mask_head import EffSegMaskHead

__all__ = ['EffSegMaskHead']
