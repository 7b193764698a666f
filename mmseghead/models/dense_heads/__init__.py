"""Dense heads."""
from .fcosreg_head import FCOSRegHead
from .solo_head import SOLOHead, SOLOV2Head

__all__ = ['FCOSRegHead', 'SOLOHead', 'SOLOV2Head']
