"""Instance segmentation heads on MMDetection.

Importing the package puts the pure-PyTorch operators in place where mmcv was
installed without its compiled ones (``mmseghead.ops``) and tells mmengine
where ``mmseghead::`` configs and model names live.
"""
from mmengine.config.utils import MODULE2PACKAGE

from . import ops
from .version import __version__

ops.install()
# Without this entry `_base_ = 'mmseghead::...'` and model names fail to
# resolve: mmengine only knows the packages of its own family.
MODULE2PACKAGE.setdefault('mmseghead', 'mmseghead')

__all__ = ['__version__', 'ops']
