"""Assigners, coders, prior generators and samplers."""
