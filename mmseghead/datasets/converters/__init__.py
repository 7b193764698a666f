"""From other formats to COCO JSON."""
from .dsb2018 import convert_dsb2018

__all__ = ['convert_dsb2018']
