"""Dense heads."""
from .fcosis_head import FCOSISHead
from .fcosis_mask_head import FCOSISMaskHead
from .fcosreg_head import FCOSRegHead
from .pointins_heads import PointINSFCOSHead, PointINSRetinaHead
from .pointins_mask_branch import PointINSMaskBranch
from .polarmask_head import PolarMaskHead
from .solo_head import SOLOHead, SOLOV2Head
from .spatial_embedding_head import SpatialEmbeddingHead
from .yolact_protonet import YOLACTProtonet

__all__ = [
    'FCOSISHead', 'FCOSISMaskHead', 'FCOSRegHead', 'PointINSFCOSHead',
    'PointINSMaskBranch', 'PointINSRetinaHead', 'PolarMaskHead', 'SOLOHead',
    'SOLOV2Head', 'SpatialEmbeddingHead', 'YOLACTProtonet'
]
