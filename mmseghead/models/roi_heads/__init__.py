"""RoI heads."""
from .point_rend_roi_head import PointRendRoIHead

__all__ = ['PointRendRoIHead']
