"""Detectors whose data flow mmdet lacks."""
