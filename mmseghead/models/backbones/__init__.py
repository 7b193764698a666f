"""Backbones that mmdet lacks."""
from .efficientnet_lite import EfficientNetLite
from .erfnet import ERFNet

__all__ = ['ERFNet', 'EfficientNetLite']
