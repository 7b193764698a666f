"""FCOSIS's top-down link: attention maps from what a detector head knows.

Legend: n instances of an image, h/w of a pyramid level's map.
"""
from typing import Dict, NamedTuple

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmseghead.registry import MODELS

_MODES = ('full', 'box')


class LevelCues(NamedTuple):
    """What one level of the detector's pyramid says about one image."""

    stride: int  #: pixels
    coarse: Tensor  #: (h, w) logits of "some object is here"
    centers: Tensor  #: (2, h, w) x, y from the location to its centre, pixels


@MODELS.register_module()
class AttentionMap(BaseModule):
    """Attention of each instance on its own level of the pyramid.

    A location belongs to the instance whose centre of mass is nearest to the
    centre that was regressed there, and to those that are hardly further
    away: two detections of one object must not share out its locations. With
    m the coarse segmentation where the location belongs to the instance and 0
    elsewhere, the attention is

        lambda * m - mu * (1 - m)  inside the instance's box, 0 outside.

    Instances compete for locations within their level only. No gradient
    flows through boxes and the choice of the nearest centre; it does through
    the coarse segmentation and the two factors.

    Source: FCOSIS, section 3.2.1, "Attention module"; the paper names the
    factors of object and rest; their soft mixture and ``tolerance`` are ours.

    Args:
        mode: ``'full'``, or ``'box'`` for lambda everywhere in the box (table
            3c).
        learn_mu: ``False`` fixes mu at 0 (table 3b).
        tolerance: How much further than the nearest centre an instance's own
            may be, in strides; 0 for the paper's rule.
        init_cfg: Initialisation.

    Raises:
        ValueError: if ``mode`` is neither of the two or ``tolerance`` < 0.
    """

    def __init__(self,
                 mode: str = 'full',
                 learn_mu: bool = True,
                 tolerance: float = 1.0,
                 init_cfg: dict = None) -> None:
        super().__init__(init_cfg)
        if mode not in _MODES:
            raise ValueError('`mode` of AttentionMap must be one of '
                             f'{_MODES}, got {mode!r}.')
        if tolerance < 0:
            raise ValueError('`tolerance` of AttentionMap must be at least 0 '
                             f'strides, got {tolerance}.')
        self.mode = mode
        self.tolerance = tolerance
        self.foreground = nn.Parameter(torch.ones(()))  # lambda
        # Without a background there is no mu; a parameter that is never used
        # would stop distributed training.
        self.background = None
        if learn_mu and mode == 'full':
            self.background = nn.Parameter(torch.ones(()))

    def factors(self) -> Dict[str, Tensor]:
        """Return ``attention_lambda`` and, if it is learned,
        ``attention_mu``, for the training log."""
        found = dict(attention_lambda=self.foreground.detach())
        if self.background is not None:
            found['attention_mu'] = self.background.detach()
        return found

    def forward(self, cues: LevelCues, boxes: Tensor,
                centers: Tensor) -> Tensor:
        """Return the attention of the instances of one level.

        Args:
            cues: The level's predictions.
            boxes: (n, 4) x1, y1, x2, y2 in pixels.
            centers: (n, 2) x, y, pixels.

        Returns:
            (n, h, w), in the type of ``cues.coarse``.
        """
        height, width = cues.coarse.shape
        xs = grid_centers(width, cues.stride, boxes.device)
        ys = grid_centers(height, cues.stride, boxes.device)
        inside = inside_boxes(xs, ys, boxes)
        if self.mode == 'box':
            return self.foreground * inside.to(cues.coarse.dtype)
        own = own_locations(cues.centers, xs, ys, centers,
                            self.tolerance * cues.stride)
        mask = cues.coarse.sigmoid() * own
        attention = self.foreground * mask
        if self.background is not None:
            attention = attention - self.background * (1 - mask)
        return attention * inside


def grid_centers(cells: int, stride: int, device: torch.device) -> Tensor:
    """Return the (cells,) pixel coordinates of the cells' centres."""
    return (torch.arange(cells, device=device) + 0.5) * stride


def inside_boxes(xs: Tensor, ys: Tensor, boxes: Tensor) -> Tensor:
    """Return which places of a grid lie in which box.

    Args:
        xs: (w,) coordinates of the columns.
        ys: (h,) coordinates of the rows.
        boxes: (n, 4) x1, y1, x2, y2.

    Returns:
        (n, h, w) bool. The row and the column nearest to its centre count
        as inside a box that is too small to hold any.
    """
    across = _inside(xs, boxes[:, 0], boxes[:, 2])
    down = _inside(ys, boxes[:, 1], boxes[:, 3])
    return down[:, :, None] & across[:, None]


def _inside(places: Tensor, first: Tensor, last: Tensor) -> Tensor:
    found = (places >= first[:, None]) & (places <= last[:, None])
    away = (places - (first + last)[:, None] / 2).abs()
    nearest = away == away.min(1, keepdim=True).values
    return torch.where(found.any(1, keepdim=True), found, nearest)


@torch.no_grad()
def own_locations(regressed: Tensor, xs: Tensor, ys: Tensor, centers: Tensor,
                  tolerance: float) -> Tensor:
    """Return which locations belong to which instance.

    Args:
        regressed: (2, h, w) x, y from the location to its centre, pixels.
        xs: (w,) coordinates of the locations.
        ys: (h,) likewise.
        centers: (n, 2) x, y of the instances, n at least 1.
        tolerance: In pixels.

    Returns:
        (n, h, w) bool: the instance's centre is at most ``tolerance`` further
        from the regressed centre than the nearest one is.
    """
    place = regressed.float() + torch.stack(
        torch.meshgrid(xs, ys, indexing='xy'))
    away = torch.cdist(centers.float(), place.flatten(1).T)
    nearest = away.min(0).values
    return (away <= nearest + tolerance).view(-1, *regressed.shape[1:])
