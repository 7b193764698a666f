"""From other formats to COCO JSON, and back."""
from .dsb2018 import convert_dsb2018
from .labelme_writer import coco_to_labelme, write_labelme
from .lvis_on_coco import coco_categories, convert_lvis_to_coco_classes
from .png_writer import coco_to_png, write_png_masks
from .report import ConversionReport

__all__ = [
    'ConversionReport', 'coco_categories', 'coco_to_labelme', 'coco_to_png',
    'convert_dsb2018', 'convert_lvis_to_coco_classes', 'write_labelme',
    'write_png_masks'
]
