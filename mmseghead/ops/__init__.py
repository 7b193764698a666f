"""Pure-PyTorch operators for mmcv installations without compiled ones.

Nothing here imports ``mmcv.ops`` or mmdet: both must find the operators in
place when they are imported.
"""
from .selection import backend, install

__all__ = ['backend', 'install']
