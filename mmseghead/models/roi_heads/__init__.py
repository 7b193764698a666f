"""RoI heads."""
from .effseg_roi_head import EffSegQueryRoIHead, EffSegRoIHead
from .instance_feature_roi_head import (InstanceFeaturePointRendRoIHead,
                                        InstanceFeatureRoIHead)
from .mask_heads import (CoarseMaskHead, EffSegMaskHead, FCNMaskHead,
                         RefineMaskHead, SimpleRefineMaskHead)
from .mask_only_roi_head import MaskOnlyRoIHead
from .point_rend_roi_head import PointRendRoIHead
from .refinemask_roi_head import RefineMaskRoIHead

__all__ = [
    'CoarseMaskHead', 'EffSegMaskHead', 'EffSegQueryRoIHead', 'EffSegRoIHead',
    'FCNMaskHead', 'InstanceFeaturePointRendRoIHead', 'InstanceFeatureRoIHead',
    'MaskOnlyRoIHead', 'PointRendRoIHead', 'RefineMaskHead',
    'RefineMaskRoIHead', 'SimpleRefineMaskHead'
]
