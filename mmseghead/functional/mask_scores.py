"""How sure a mask is of itself.

Source: SOLO, arXiv:1912.04488 (maskness), as used by EffSeg,
arXiv:2307.01545, section 4.
"""
import torch
from torch import Tensor


def mask_scores(probs: Tensor, threshold: float = 0.5) -> Tensor:
    """Return the mean probability within each mask.

    Args:
        probs: (N, ...) in [0, 1], on any grid.
        threshold: A cell above this belongs to the mask.

    Returns:
        (N,), single precision at least: above ``threshold`` and at most 1, or
        0 for a mask without cells.

    Differs: on the grid of the RoI and not on the image. Its cells have equal
    area in the image, so that the mean is nearly the same.
    """
    dtype = torch.promote_types(probs.dtype, torch.float32)
    probs = probs.to(dtype).flatten(1)
    inside = (probs > threshold).to(dtype)
    return (probs * inside).sum(1) / inside.sum(1).clamp(min=1)


def predicted_scores(logits: Tensor,
                     labels: Tensor,
                     threshold: float = 0.5) -> Tensor:
    """Return the scores of the masks of the predicted classes.

    Args:
        logits: (N, K, S, S), a map per class, or (N, 1, S, S).
        labels: (N,) int64 predicted class.
        threshold: A cell above this probability belongs to the mask.

    Returns:
        (N,), see `mask_scores`.
    """
    rows = torch.arange(len(logits), device=logits.device)
    labels = labels.clamp(max=logits.shape[1] - 1)
    return mask_scores(logits[rows, labels].float().sigmoid(), threshold)
