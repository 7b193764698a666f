"""Mask heads of RoI heads."""
from .bounded_mask_heads import CoarseMaskHead, FCNMaskHead
from .effseg_mask_head import EffSegMaskHead
from .refinemask_head import RefineMaskHead, SimpleRefineMaskHead

__all__ = [
    'CoarseMaskHead', 'EffSegMaskHead', 'FCNMaskHead', 'RefineMaskHead',
    'SimpleRefineMaskHead'
]
