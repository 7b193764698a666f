"""Masks with one outline each, in place of the noise of untrained heads."""
import torch
from torch import Tensor, nn


class BlobPredictor(nn.Module):
    """Predicts a round object that about fills its box, whatever it reads.

    Its radius is 0.85 of the box's half, give or take a wave of 2 to 5
    periods, drawn per RoI: the same at each resolution.

    Args:
        predictor: The layer that it stands in for, kept for its parameters.
        seed: Of the shapes.
    """

    out_channels = 1

    def __init__(self, predictor: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.predictor = predictor
        self.seed = seed

    def forward(self, feats: Tensor) -> Tensor:
        """Return (N, 1, S, S) logits for (N, C, S, S) features."""
        num, _, size, _ = feats.shape
        generator = torch.Generator().manual_seed(self.seed)
        phases = torch.rand(num, 4, generator=generator).to(feats) * 6.2832
        places = (torch.arange(size).to(feats) + 0.5) / size * 2 - 1
        angles = torch.atan2(places[:, None], places)
        waves = sum(
            torch.cos(k * angles + phases[:, k - 2, None, None])
            for k in range(2, 6))  # (N, S, S)
        distance = (places[:, None]**2 + places**2).sqrt()
        return 20 * (0.85 + 0.05 * waves - distance)[:, None]
