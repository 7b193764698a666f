"""Learned blocks a config may swap or several methods share."""
