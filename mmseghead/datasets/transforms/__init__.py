"""Data transforms."""
from .crop_around_object import CropAroundObject
from .polar_contours import (FilterSmallInstances, GeneratePolarContours,
                             PackPolarInputs)

__all__ = [
    'CropAroundObject', 'FilterSmallInstances', 'GeneratePolarContours',
    'PackPolarInputs'
]
