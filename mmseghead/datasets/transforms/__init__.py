"""Data transforms."""
from .crop_around_object import CropAroundObject

__all__ = ['CropAroundObject']
