"""RoI heads."""
from .effseg_roi_head import EffSegQueryRoIHead, EffSegRoIHead
from .mask_heads import EffSegMaskHead
from .mask_only_roi_head import MaskOnlyRoIHead
from .point_rend_roi_head import PointRendRoIHead

__all__ = [
    'EffSegMaskHead', 'EffSegQueryRoIHead', 'EffSegRoIHead',
    'MaskOnlyRoIHead', 'PointRendRoIHead'
]
