"""Packaging step that fills ``mmseghead/.mim`` (see setup.cfg for the rest)."""
from setuptools import setup

setup()
