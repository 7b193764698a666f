"""The Lovasz hinge as a loss."""
from typing import Optional

from torch import Tensor, nn

from mmseghead.functional.lovasz import lovasz_hinge
from mmseghead.registry import MODELS


@MODELS.register_module()
class LovaszHingeLoss(nn.Module):
    """Lovasz hinge of one mask, a convex stand-in for 1 - IoU.

    Source: Berman et al., arXiv:1705.08790, Eq. 9.

    Args:
        loss_weight: Factor of the loss.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self,
                pred: Tensor,
                target: Tensor,
                weight: Optional[Tensor] = None,
                avg_factor: Optional[float] = None,
                reduction_override: Optional[str] = None) -> Tensor:
        """Compute the loss of one instance.

        Args:
            pred: Logits of any shape, with the decision at zero; ``2 phi -
                1`` for memberships.
            target: Of the same shape, bool or 0 and 1.
            weight: Of the same shape; pixels of weight 0 don't take part.
                Other weights than 0 and 1 have no meaning here.
            avg_factor: Divides the loss if given.
            reduction_override: Must be None, ``mean`` or ``sum``: the loss
                of a mask is one number.

        Returns:
            Scalar; a 0 that keeps the graph if no pixel takes part.

        Raises:
            ValueError: if shapes differ or the reduction is another.
        """
        if pred.shape != target.shape:
            raise ValueError('`pred` and `target` of LovaszHingeLoss must '
                             'have one shape, got '
                             f'{tuple(pred.shape)} and {tuple(target.shape)}.')
        if reduction_override not in (None, 'mean', 'sum'):
            raise ValueError('`reduction_override` of LovaszHingeLoss must be '
                             "None, 'mean' or 'sum', got "
                             f'{reduction_override!r}.')
        logits, labels = pred.float().flatten(), target.flatten()
        if weight is not None:
            kept = weight.flatten() > 0
            logits, labels = logits[kept], labels[kept]
        loss = self.loss_weight * lovasz_hinge(logits, labels)
        return loss if avg_factor is None else loss / avg_factor
