"""From other formats to COCO JSON."""
from .dsb2018 import convert_dsb2018
from .lvis_on_coco import coco_categories, convert_lvis_to_coco_classes

__all__ = [
    'coco_categories', 'convert_dsb2018', 'convert_lvis_to_coco_classes'
]
