"""From other formats to COCO JSON, and back."""
from .cityscapes import cityscapes_to_coco
from .class_names import read_class_names
from .dsb2018 import convert_dsb2018
from .labelme_reader import labelme_to_coco
from .labelme_writer import coco_to_labelme, write_labelme
from .lvis_on_coco import coco_categories, convert_lvis_to_coco_classes
from .png_reader import png_to_coco
from .png_writer import coco_to_png, write_png_masks
from .report import ConversionReport
from .via import via_to_coco
from .yolo_reader import yolo_to_coco
from .yolo_writer import YoloSplit, coco_to_yolo

__all__ = [
    'ConversionReport', 'YoloSplit', 'cityscapes_to_coco', 'coco_categories',
    'coco_to_labelme', 'coco_to_png', 'coco_to_yolo', 'convert_dsb2018',
    'convert_lvis_to_coco_classes', 'labelme_to_coco', 'png_to_coco',
    'read_class_names', 'via_to_coco', 'write_labelme', 'write_png_masks',
    'yolo_to_coco'
]
