"""Instance segmentation heads on MMDetection.

Importing the package puts the pure-PyTorch operators in place where mmcv was
installed without its compiled ones (``mmseghead.ops``) and tells mmengine
where ``mmseghead::`` configs and model names live.
"""
import sys

from .version import __version__

try:
    from mmengine.config.utils import MODULE2PACKAGE

    from . import ops
    ops.install()
    # Without this entry `_base_ = 'mmseghead::...'` and model names fail to
    # resolve: mmengine only knows the packages of its own family.
    MODULE2PACKAGE.setdefault('mmseghead', 'mmseghead')
except Exception:
    # The doctor has to live to say which package is missing or broken.
    if 'mmseghead.doctor' not in sys.orig_argv:
        raise

__all__ = ['__version__', 'ops']
