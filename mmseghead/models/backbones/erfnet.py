"""ERFNet's encoder.

Legend: B images, H/W network input height and width.

Source: Romera et al., ERFNet (T-ITS 2018), as used by arXiv:1906.11109.
Differs: no classifier on the encoder, which arXiv:1906.11109 does not use.
"""
from typing import Sequence, Tuple

from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseghead.models.layers.erfnet_blocks import (ERFNetDownsampler,
                                                   NonBottleneck1D,
                                                   fix_norm_statistics)
from mmseghead.registry import MODELS


@MODELS.register_module()
class ERFNet(BaseModule):
    """Encoder with 1D convolutions, stride 8.

    The decoders, ``ERFNetDecoder``, are part of the head.

    Args:
        in_channels: Channels of the image.
        channels: Channels at strides 2, 4 and 8.
        num_blocks: Blocks at stride 4.
        dilations: Dilation of each block at stride 8.
        dropouts: Probabilities of dropping a channel, at strides 4 and 8.
        norm_eval: Keep batch norm statistics fixed in training.
        init_cfg: Initialisation.
    """

    def __init__(self,
                 in_channels: int = 3,
                 channels: Sequence[int] = (16, 64, 128),
                 num_blocks: int = 5,
                 dilations: Sequence[int] = (2, 4, 8, 16) * 2,
                 dropouts: Sequence[float] = (0.03, 0.3),
                 norm_eval: bool = False,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg)
        self.norm_eval = norm_eval
        first, second, third = channels
        self.layers = nn.Sequential(
            ERFNetDownsampler(in_channels, first),
            ERFNetDownsampler(first, second),
            *[
                NonBottleneck1D(second, dropouts[0])
                for _ in range(num_blocks)
            ], ERFNetDownsampler(second, third),
            *[NonBottleneck1D(third, dropouts[1], d) for d in dilations])

    def forward(self, x: Tensor) -> Tuple[Tensor]:
        """Compute the features.

        Args:
            x: (B, in_channels, H, W), H and W multiples of 8.

        Returns:
            One (B, 128, H / 8, W / 8) map.

        Raises:
            ValueError: if H or W is no multiple of 8.
        """
        if x.shape[-2] % 8 or x.shape[-1] % 8:
            raise ValueError('ERFNet needs images whose sides are multiples '
                             f'of 8, got {tuple(x.shape[-2:])}; set '
                             '`pad_size_divisor=8` of the data preprocessor.')
        return (self.layers(x), )

    def train(self, mode: bool = True) -> 'ERFNet':
        """Switch the mode; with ``norm_eval`` statistics stay fixed."""
        super().train(mode)
        if mode and self.norm_eval:
            fix_norm_statistics(self)
        return self
