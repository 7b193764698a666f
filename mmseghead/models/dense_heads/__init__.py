"""Dense heads."""
from .fcosis_head import FCOSISHead
from .fcosis_mask_head import FCOSISMaskHead
from .fcosreg_head import FCOSRegHead
from .solo_head import SOLOHead, SOLOV2Head

__all__ = [
    'FCOSISHead', 'FCOSISMaskHead', 'FCOSRegHead', 'SOLOHead', 'SOLOV2Head'
]
