"""Mask heads of RoI heads."""
from .effseg_mask_head import EffSegMaskHead
from .refinemask_head import RefineMaskHead, SimpleRefineMaskHead

__all__ = ['EffSegMaskHead', 'RefineMaskHead', 'SimpleRefineMaskHead']
