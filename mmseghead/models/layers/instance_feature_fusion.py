"""What is known of an instance, added to the features of its RoI."""
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseghead.registry import MODELS


@MODELS.register_module()
class InstanceFeatureFusion(BaseModule):
    """Fuse one vector per instance with its RoI features.

    With q the vector after a Linear and a ReLU, and x a cell's feature:
    x + W2 relu(W1 [q, x] + b1) + b2. The first layer is split into the part
    for q, computed once per RoI, and the part for x.

    Source: EffSeg, arXiv:2307.01545, section 3.1 (query fusion).

    Args:
        inst_channels: Channels of the vectors, e.g. 1024 for the box head's
            last feature, 256 for queries.
        channels: C, channels of the RoI features.
        init_cfg: Initialisation; PyTorch's by default, as in the source.
    """

    def __init__(self,
                 inst_channels: int = 1024,
                 channels: int = 256,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        self.project = nn.Linear(inst_channels, channels)
        # One layer on 2 * C channels, so that it starts like one.
        self.first = nn.Conv2d(2 * channels, channels, 1)
        self.second = nn.Conv2d(channels, channels, 1)

    def forward(self, feats: Tensor, inst_feats: Tensor) -> Tensor:
        """Add what the instance features say.

        Args:
            feats: (N, C, h, w) RoI features, N may be 0.
            inst_feats: (N, ``inst_channels``).

        Returns:
            (N, C, h, w).
        """
        query = F.relu(self.project(inst_feats))
        channels = query.shape[1]
        weight = self.first.weight
        shift = F.linear(query, weight[:, :channels, 0, 0], self.first.bias)
        hidden = F.conv2d(feats, weight[:, channels:])
        hidden = F.relu(hidden + shift[:, :, None, None])
        return feats + self.second(hidden)
