"""Sigmoid focal loss and its gradient, as mmcv's compiled operators.

N predictions, C classes.
"""
import torch
from torch import Tensor

from .nms import compute_dtype

# Smallest probability a logarithm is taken of, as in mmcv.
TINY = torch.finfo(torch.float32).tiny


def _terms(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return probabilities and which class is the target, each (N, C)."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    hit = target[:, None] == classes
    return logits.detach().to(compute_dtype(logits)).sigmoid(), hit


def _class_weights(weight: Tensor, target: Tensor) -> Tensor:
    """Return the (N, 1) weight of each prediction's target class.

    The compiled operator reads past the end of the weights for a background
    target (C); here the background weighs 1.
    """
    known = (target >= 0) & (target < len(weight))
    values = weight[torch.where(known, target, 0)]
    return torch.where(known, values, torch.ones_like(values))[:, None]


def sigmoid_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor,
                               output: Tensor, gamma: float,
                               alpha: float) -> None:
    """Write the loss of every class of every prediction into ``output``.

    Args:
        input: (N, C) logits.
        target: (N,) int64 class in [0, C); any other is background.
        weight: (C,) weights of the classes, or (0,) for none.
        output: (N, C), overwritten.
        gamma: focusing exponent, >= 0.
        alpha: weight of the target class, in [0, 1].

    Source: Focal Loss for Dense Object Detection, arXiv:1708.02002, Eq. 5.
    """
    prob, hit = _terms(input, target)
    positive = -alpha * (1 - prob)**gamma * prob.clamp(min=TINY).log()
    negative = (alpha - 1) * prob**gamma * (1 - prob).clamp(min=TINY).log()
    loss = torch.where(hit, positive, negative)
    if weight.numel():
        loss = loss * _class_weights(weight, target)
    output.copy_(loss)


def sigmoid_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor,
                                grad_input: Tensor, gamma: float,
                                alpha: float) -> None:
    """Write the derivative of the loss by the logits into ``grad_input``.

    Args:
        input: (N, C) logits.
        target: (N,) int64, as in the forward call.
        weight: (C,) weights of the classes, or (0,) for none.
        grad_input: (N, C), overwritten.
        gamma: focusing exponent, >= 0.
        alpha: weight of the target class, in [0, 1].
    """
    prob, hit = _terms(input, target)
    rest = 1 - prob
    positive = -alpha * rest**gamma * (
        rest - gamma * prob * prob.clamp(min=TINY).log())
    negative = (alpha - 1) * prob**gamma * (
        gamma * rest * rest.clamp(min=TINY).log() - prob)
    grad = torch.where(hit, positive, negative)
    if weight.numel():
        grad = grad * _class_weights(weight, target)
    grad_input.copy_(grad)
