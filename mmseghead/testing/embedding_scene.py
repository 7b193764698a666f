"""Made-up outputs of a trained Spatial Embeddings network."""
import math
from typing import NamedTuple

import torch
from torch import Tensor

from mmseghead.functional.spatial_embedding import PIXEL_STEPS, coordinate_map


class EmbeddingScene(NamedTuple):
    """One image's instances and what a network would say of them."""

    ids: Tensor  #: (H, W) int64: 0 for none, else 1 to N
    embeddings: Tensor  #: (2, H, W)
    raw_bandwidths: Tensor  #: (2, H, W)
    seeds: Tensor  #: (H, W)


def embedding_scene(height: int,
                    width: int,
                    num_instances: int,
                    seed: int = 0,
                    spread_px: float = 3.) -> EmbeddingScene:
    """Draw disks in a grid whose pixels point at their centres, nearly.

    Args:
        height: Rows.
        width: Columns.
        num_instances: Number of disks.
        seed: Seed of all draws.
        spread_px: Standard deviation of embeddings around their centre, in
            pixels; the Gaussians' radius is three of them.

    Returns:
        The scene. Background pixels are their own embeddings; seed values
        are 0.6 to 1 on disks and 0 to 0.2 elsewhere.
    """
    generator = torch.Generator().manual_seed(seed)
    spread = spread_px * PIXEL_STEPS[1]
    columns = max(round(math.sqrt(num_instances * width / height)), 1)
    rows = max(-(-num_instances // columns), 1)
    cell = torch.tensor([width / columns, height / rows])
    y, x = torch.meshgrid(
        torch.arange(height), torch.arange(width), indexing='ij')
    ids = torch.zeros(height, width, dtype=torch.long)
    embeddings = coordinate_map(height, width)
    for k in range(num_instances):
        place = cell * torch.tensor([k % columns + .5, k // columns + .5])
        share = .2 + .25 * torch.rand((), generator=generator)
        radius = float(cell.min() * share)
        mask = (x - place[0])**2 + (y - place[1])**2 < radius**2
        ids[mask] = k + 1
        noise = torch.randn(2, int(mask.sum()), generator=generator)
        center = embeddings[:, mask].mean(1, keepdim=True)
        embeddings[:, mask] = center + noise * spread
    bandwidth = math.log(math.log(2) / (3 * spread)**2) / 10
    values = torch.rand(height, width, generator=generator)
    seeds = torch.where(ids > 0, .6 + .4 * values, .2 * values)
    return EmbeddingScene(ids, embeddings,
                          torch.full_like(embeddings, bandwidth), seeds)
