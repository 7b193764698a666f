"""Dense heads."""
from .solo_head import SOLOHead, SOLOV2Head

__all__ = ['SOLOHead', 'SOLOV2Head']
