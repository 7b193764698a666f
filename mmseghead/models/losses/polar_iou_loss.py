"""Polar IoU loss."""
from typing import Optional

import torch
from mmdet.models.losses.utils import weight_reduce_loss
from torch import Tensor, nn

from mmseghead.registry import MODELS

_EPS = 1e-6
_REDUCE_RAYS = ('ratio', 'mean_log')
_REDUCTIONS = ('none', 'mean', 'sum')


def polar_iou_loss(pred: Tensor,
                   target: Tensor,
                   power: int = 1,
                   reduce_rays: str = 'ratio') -> Tensor:
    """Return -ln of the overlap of two sets of rays from one centre.

    Args:
        pred: (M, n) lengths > 0, float32.
        target: (M, n) likewise.
        power: 2 compares areas, 1 is the paper's simplification.
        reduce_rays: ``'ratio'``: ln (sum max^p / sum min^p), the paper's
            equation 8; ``'mean_log'``: the mean over rays of
            ln (max^p / min^p), in which a short ray counts as much as a long
            one.

    Returns:
        (M,) >= 0; it does not change if both sets are scaled alike.
    """
    low = torch.minimum(pred, target)
    high = torch.maximum(pred, target)
    if reduce_rays == 'mean_log':
        ratio = high.clamp(min=_EPS) / low.clamp(min=_EPS)
        return power * ratio.log().mean(1)
    low = low.pow(power).sum(1).clamp(min=_EPS)
    high = high.pow(power).sum(1).clamp(min=_EPS)
    return (high / low).log()


@MODELS.register_module()
class PolarIoULoss(nn.Module):
    """Polar IoU loss (PolarMask, section 3.4).

    Args:
        power: 1 (the paper's) or 2 (areas).
        reduce_rays: ``'ratio'`` (the paper's) or ``'mean_log'``.
        reduction: ``'none'``, ``'mean'`` or ``'sum'`` over instances.
        loss_weight: Factor of the result.

    Raises:
        ValueError: if an option is not as stated.
    """

    def __init__(self,
                 power: int = 1,
                 reduce_rays: str = 'ratio',
                 reduction: str = 'mean',
                 loss_weight: float = 1.0) -> None:
        super().__init__()
        for name, value, allowed in (('power', power, (1, 2)),
                                     ('reduce_rays', reduce_rays,
                                      _REDUCE_RAYS),
                                     ('reduction', reduction, _REDUCTIONS)):
            if value not in allowed:
                raise ValueError(f'`{name}` of PolarIoULoss must be one of '
                                 f'{allowed}, got {value!r}.')
        self.power = power
        self.reduce_rays = reduce_rays
        self.reduction = reduction
        self.loss_weight = loss_weight

    def forward(self,
                pred: Tensor,
                target: Tensor,
                weight: Optional[Tensor] = None,
                avg_factor: Optional[float] = None,
                reduction_override: Optional[str] = None) -> Tensor:
        """Compute the loss.

        Args:
            pred: (M, n) ray lengths > 0.
            target: (M, n) likewise.
            weight: (M,) factor of each instance.
            avg_factor: Divisor of the sum in place of M.
            reduction_override: Used in place of ``reduction``.

        Returns:
            A scalar, or (M,) with reduction ``'none'``; 0, connected to
            ``pred``, when M is 0.

        Raises:
            ValueError: if ``reduction_override`` is unknown.
        """
        reduction = reduction_override or self.reduction
        if reduction not in _REDUCTIONS:
            raise ValueError('`reduction_override` of PolarIoULoss must be '
                             f'one of {_REDUCTIONS}, got {reduction!r}.')
        if len(pred) == 0 and reduction != 'none':
            return pred.float().sum() * 0
        loss = polar_iou_loss(pred.float(), target.float(), self.power,
                              self.reduce_rays)
        return self.loss_weight * weight_reduce_loss(loss, weight, reduction,
                                                     avg_factor)
