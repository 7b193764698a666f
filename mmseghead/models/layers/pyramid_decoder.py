"""A light decoder from a feature pyramid to maps of full resolution.

Legend: B images, H/W network input height and width.
"""
from typing import Sequence

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.utils import OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseghead.registry import MODELS


@MODELS.register_module()
class PyramidDecoder(BaseModule):
    """Sums the levels of a pyramid and doubles the resolution until it fits.

    Every level goes through a 3 x 3 convolution, is enlarged to the finest
    and added. Transposed convolutions then double the resolution, the last
    of them without norm or activation, as in ``ERFNetDecoder``. Not in the
    paper.

    Args:
        out_channels: Channels of the maps.
        in_channels: Channels of the pyramid.
        strides: Strides of the levels that are read, from the first on, each
            a power of two.
        channels: Channels of the sum.
        norm_cfg: Norm of the convolutions.
        init_cfg: Initialisation.

    Attributes:
        output: The last layer.

    Raises:
        ValueError: if there are no strides, or the first is no power of two.
    """

    def __init__(self,
                 out_channels: int,
                 in_channels: int = 256,
                 strides: Sequence[int] = (4, 8, 16, 32),
                 channels: int = 64,
                 norm_cfg: OptConfigType = dict(type='GN', num_groups=8),
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg)
        if not strides or strides[0] < 1 or strides[0] & (strides[0] - 1):
            raise ValueError('`strides` of PyramidDecoder must begin with a '
                             f'power of two, got {strides!r}.')
        self.levels = nn.ModuleList([
            ConvModule(
                in_channels, channels, 3, padding=1, norm_cfg=norm_cfg)
            for _ in strides
        ])
        doublings = strides[0].bit_length() - 1
        layers = []
        for _ in range(doublings - 1):
            layers.append(
                ConvModule(
                    channels,
                    channels // 2,
                    2,
                    stride=2,
                    conv_cfg=dict(type='deconv'),
                    norm_cfg=norm_cfg))
            channels = channels // 2
            layers.append(
                ConvModule(
                    channels, channels, 3, padding=1, norm_cfg=norm_cfg))
        self.layers = nn.Sequential(*layers)
        # One doubling is left, if any.
        size = 2 if doublings else 1
        self.output = nn.ConvTranspose2d(channels, out_channels, size, size)

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        """Decode a pyramid.

        Args:
            x: Levels, fine to coarse; at least as many as are read.

        Returns:
            (B, out_channels, H, W), for H and W that are multiples of the
            first stride.
        """
        total = None
        for level, conv in zip(x, self.levels):
            level = conv(level)
            if total is not None:
                level = F.interpolate(
                    level,
                    size=total.shape[-2:],
                    mode='bilinear',
                    align_corners=False)
            total = level if total is None else total + level
        return self.output(self.layers(total))
