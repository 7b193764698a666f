"""RoI heads."""
from .mask_only_roi_head import MaskOnlyRoIHead
from .point_rend_roi_head import PointRendRoIHead

__all__ = ['MaskOnlyRoIHead', 'PointRendRoIHead']
