"""Instance-aware convolution: a point's template, an instance's weights.

Legend: B images, L levels, N instances, C channels of the features, Ct of the
template, Co of the output, k side of the template, g geometry values.
"""
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseghead.functional.pyramid_points import PyramidPoints, gather_patches
from mmseghead.registry import MODELS

#: Values that describe an instance's box to the weight generator.
GEOMETRY_SIZE = 4
_CENTER = 4  # of a flattened 3 x 3 neighbourhood


@MODELS.register_module()
class InstanceAwareConv(BaseModule):
    """Mask features of instances, each from the feature of a single point.

    A 3 x 3 convolution makes a small template at the point, shared by all
    instances there. Each instance convolves it with weights of its own, which
    a small network makes from the point's feature, the instance's geometry
    and its anchor:

        M = relu(W * T + b).

    Everything runs at the given points only, and equals there what dense maps
    would hold.

    Source: PointINS, arXiv:2003.06148, abstract (template and dynamic
    weights). Sizes, the generator and its inputs are not in the abstract.

    Args:
        in_channels: C.
        out_channels: Co.
        template_channels: Ct.
        template_size: k.
        kernel_size: Side of the dynamic kernels, 1 or 3.
        hidden_channels: Width of the weight generator.
        use_geometry: ``False`` makes the weights from the feature alone.
        num_anchors: Anchors per location; more than 1 are told apart by a
            learned embedding, unless ``use_geometry`` is off.
        anchor_channels: Size of that embedding.
        dynamic: ``False`` learns one kernel for all instances (static
            weights): no instance-aware convolution.
        init_cfg: Initialisation.

    Raises:
        ValueError: if ``kernel_size`` is neither 1 nor 3, or a size is not
            positive.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int = 64,
                 template_channels: int = 16,
                 template_size: int = 7,
                 *,
                 kernel_size: int = 1,
                 hidden_channels: int = 256,
                 use_geometry: bool = True,
                 num_anchors: int = 1,
                 anchor_channels: int = 16,
                 dynamic: bool = True,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if kernel_size not in (1, 3):
            raise ValueError('`kernel_size` of InstanceAwareConv must be 1 or '
                             f'3, got {kernel_size!r}.')
        sizes = dict(
            in_channels=in_channels,
            out_channels=out_channels,
            template_channels=template_channels,
            template_size=template_size,
            hidden_channels=hidden_channels,
            num_anchors=num_anchors,
            anchor_channels=anchor_channels)
        for name, value in sizes.items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'`{name}` of InstanceAwareConv must be an '
                                 f'int >= 1, got {value!r}.')
        self.out_channels = out_channels
        self.template_channels = template_channels
        self.template_size = template_size
        self.kernel_size = kernel_size
        self.dynamic = dynamic
        self.use_geometry = use_geometry and dynamic
        self.fan_in = template_channels * kernel_size**2
        self.template = nn.Conv2d(
            in_channels, template_channels * template_size**2, 3, padding=1)
        self.anchor_embedding = None
        known = in_channels
        if self.use_geometry:
            known += GEOMETRY_SIZE
            if num_anchors > 1:
                self.anchor_embedding = nn.Embedding(num_anchors,
                                                     anchor_channels)
                known += anchor_channels
        if dynamic:
            self.generator = nn.Sequential(
                nn.Linear(known, hidden_channels), nn.ReLU(inplace=True),
                nn.Linear(hidden_channels, self.num_weights))
        else:
            self.kernel = nn.Parameter(torch.zeros(self.num_weights))

    @property
    def num_weights(self) -> int:
        """Return the number of weights of one instance, biases included."""
        return self.out_channels * (self.fan_in + 1)

    def init_weights(self) -> None:
        """Start as a static convolution that keeps the features' size.

        The kernels stand in the generator's last bias; its weights add the
        small differences that instances begin with.
        """
        super().init_weights()
        nn.init.kaiming_normal_(self.template.weight, nonlinearity='linear')
        nn.init.zeros_(self.template.bias)
        if self.dynamic:
            first, _, last = self.generator
            nn.init.kaiming_normal_(first.weight, nonlinearity='relu')
            nn.init.zeros_(first.bias)
            nn.init.normal_(last.weight, std=0.01)
        kernel = last.bias if self.dynamic else self.kernel
        with torch.no_grad():
            kernel.normal_(std=(2 / self.fan_in)**0.5)
            kernel[-self.out_channels:] = 0

    def forward(self,
                feats: Sequence[Tensor],
                points: PyramidPoints,
                geometry: Optional[Tensor] = None) -> Tensor:
        """Compute the mask features of instances.

        Args:
            feats: L maps (B, C, h, w).
            points: Where the N instances were found.
            geometry: (N, 4) their boxes as the detector describes them,
                without unit; not read if ``use_geometry`` is off. No gradient
                flows into it.

        Returns:
            (N, Co, k, k), >= 0; (0, Co, k, k) without instances, connected to
            all parameters.
        """
        patches = gather_patches(feats, points)  # (N, C, 9)
        templates = self.templates(patches)
        weights = self.weights(patches[..., _CENTER], points.anchors, geometry)
        return self.convolve(templates, weights)

    def templates(self, patches: Tensor) -> Tensor:
        """Return the (N, Ct, k, k) templates of (N, C, 9) patches."""
        kernel = self.template.weight.flatten(1)  # (Ct * k * k, C * 9)
        flat = F.linear(patches.flatten(1), kernel, self.template.bias)
        side = self.template_size
        return flat.view(-1, self.template_channels, side, side)

    def weights(self,
                feature: Tensor,
                anchors: Tensor,
                geometry: Optional[Tensor] = None) -> Tensor:
        """Make the weights of instances.

        Args:
            feature: (N, C) feature of each instance's point.
            anchors: (N,) int64 index of the anchor that found it.
            geometry: (N, 4), see ``forward``.

        Returns:
            (N, ``num_weights``): kernels (Co, Ct, side, side), then biases.
        """
        if not self.dynamic:
            return self.kernel.expand(len(feature), -1)
        known = [feature]
        if self.use_geometry:
            known.append(geometry.detach().to(feature.dtype))
        if self.anchor_embedding is not None:
            known.append(self.anchor_embedding(anchors).to(feature.dtype))
        return self.generator(torch.cat(known, 1))

    def convolve(self, templates: Tensor, weights: Tensor) -> Tensor:
        """Convolve each template with its own kernel.

        Args:
            templates: (N, Ct, k, k).
            weights: (N, ``num_weights``).

        Returns:
            (N, Co, k, k) after ReLU.
        """
        side = self.template_size
        split = self.out_channels * self.fan_in
        kernels = weights[:, :split].reshape(-1, self.out_channels,
                                             self.fan_in)
        columns = templates.flatten(2)
        if self.kernel_size > 1:
            columns = F.unfold(
                templates, self.kernel_size, padding=self.kernel_size // 2)
        out = torch.bmm(kernels, columns) + weights[:, split:, None]
        return out.relu().view(-1, self.out_channels, side, side)
