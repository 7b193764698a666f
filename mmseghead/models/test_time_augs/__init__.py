"""Test-time augmentation."""
from .mask_tta_model import MaskTTAModel

__all__ = ['MaskTTAModel']
