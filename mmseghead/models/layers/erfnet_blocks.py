"""Blocks of ERFNet, and its decoder.

Legend: B images, C channels, H/W height and width of the block's input.

Source: Romera et al., ERFNet (T-ITS 2018), as used by arXiv:1906.11109.
"""
from typing import Sequence

import torch
import torch.nn.functional as F
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseghead.registry import MODELS

_BN_EPS = 1e-3


class ERFNetDownsampler(nn.Module):
    """A strided convolution beside max pooling.

    Args:
        in_channels: Channels of the input, which are pooled.
        out_channels: Channels of the output, of which the convolution makes
            those that pooling does not.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels - in_channels, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2, stride=2)
        self.bn = nn.BatchNorm2d(out_channels, eps=_BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, H / 2, W / 2); H and W must be even."""
        return F.relu(self.bn(torch.cat((self.conv(x), self.pool(x)), 1)))


class NonBottleneck1D(nn.Module):
    """Two pairs of 3 x 1 and 1 x 3 convolutions with a residual.

    Args:
        channels: Channels of input and output.
        dropout: Probability of dropping a channel.
        dilation: Dilation of the second pair.
    """

    def __init__(self,
                 channels: int,
                 dropout: float = 0.,
                 dilation: int = 1) -> None:
        super().__init__()

        def conv(vertical: bool, step: int) -> nn.Conv2d:
            along = (1, 0) if vertical else (0, 1)
            return nn.Conv2d(
                channels,
                channels,
                tuple(1 + 2 * a for a in along),
                padding=tuple(step * a for a in along),
                dilation=tuple(max(step * a, 1) for a in along))

        self.conv1_v, self.conv1_h = conv(True, 1), conv(False, 1)
        self.bn1 = nn.BatchNorm2d(channels, eps=_BN_EPS)
        self.conv2_v = conv(True, dilation)
        self.conv2_h = conv(False, dilation)
        self.bn2 = nn.BatchNorm2d(channels, eps=_BN_EPS)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of the input's shape."""
        out = F.relu(self.conv1_v(x))
        out = F.relu(self.bn1(self.conv1_h(out)))
        out = F.relu(self.conv2_v(out))
        out = self.dropout(self.bn2(self.conv2_h(out)))
        return F.relu(x + out)


class ERFNetUpsampler(nn.Module):
    """A transposed convolution that doubles the resolution.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(
            in_channels, out_channels, 3, stride=2, padding=1,
            output_padding=1)
        self.bn = nn.BatchNorm2d(out_channels, eps=_BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, 2 H, 2 W)."""
        return F.relu(self.bn(self.conv(x)))


def fix_norm_statistics(module: nn.Module) -> None:
    """Put a module's batch norms into evaluation mode.

    Args:
        module: Its other parts keep their mode.
    """
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eval()


@MODELS.register_module()
class ERFNetDecoder(BaseModule):
    """From ERFNet's features to maps of full resolution.

    Args:
        out_channels: Channels of the maps.
        in_channels: Channels of the features.
        channels: Channels after each doubling but the last.
        num_blocks: ``NonBottleneck1D`` blocks after each of them.
        norm_eval: Keep batch norm statistics fixed in training.
        init_cfg: Initialisation.

    Attributes:
        output: The last layer, without norm or activation.
    """

    def __init__(self,
                 out_channels: int,
                 in_channels: int = 128,
                 channels: Sequence[int] = (64, 16),
                 num_blocks: int = 2,
                 norm_eval: bool = False,
                 init_cfg: OptMultiConfig = None) -> None:
        super().__init__(init_cfg)
        self.norm_eval = norm_eval
        layers = []
        for width in channels:
            layers.append(ERFNetUpsampler(in_channels, width))
            layers += [NonBottleneck1D(width) for _ in range(num_blocks)]
            in_channels = width
        self.layers = nn.Sequential(*layers)
        self.output = nn.ConvTranspose2d(in_channels, out_channels, 2, 2)

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        """Decode the first map.

        Args:
            x: Features, the first of them (B, in_channels, H, W).

        Returns:
            (B, out_channels, 8 H, 8 W) with the default channels.
        """
        return self.output(self.layers(x[0]))

    def train(self, mode: bool = True) -> 'ERFNetDecoder':
        """Switch the mode; with ``norm_eval`` statistics stay fixed."""
        super().train(mode)
        if mode and self.norm_eval:
            fix_norm_statistics(self)
        return self
