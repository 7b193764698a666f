"""Detectors whose data flow mmdet lacks."""
from .single_stage_mask_detector import SingleStageMaskDetector

__all__ = ['SingleStageMaskDetector']
