"""Converters of annotation formats."""
