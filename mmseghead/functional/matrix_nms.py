"""Matrix NMS in little memory: masks as bits, intersections piece by piece.

Legend: n masks by falling score, P pixels of a mask.

Source: SOLOv2, arXiv:2003.10152, section 3.3; numbers as by mmdet's
``mask_matrix_nms``.
"""
from typing import Tuple

import torch
from torch import Tensor

_BITS = 8
# Bytes of the 0s and 1s that are multiplied at once.
_BYTES_PER_PRODUCT = 2**24


def pack_bits(masks: Tensor) -> Tensor:
    """Return (n, P / 8 rounded up) uint8 of (n, ...) bool masks."""
    flat = masks.flatten(1)
    missing = -flat.shape[1] % _BITS
    flat = torch.nn.functional.pad(flat.to(torch.uint8), (0, missing))
    flat = flat.view(len(flat), flat.shape[1] // _BITS, _BITS)
    return (flat << _shifts(flat)).sum(2, dtype=torch.uint8)


def _shifts(like: Tensor) -> Tensor:
    return torch.arange(_BITS, dtype=torch.uint8, device=like.device)


def intersections(packed: Tensor) -> Tensor:
    """Return (n, n) float32 numbers of common pixels, exact below 2 ** 24.

    Args:
        packed: What `pack_bits` made of n masks.
    """
    num, length = packed.shape
    common = torch.zeros(num, num, device=packed.device)
    step = max(_BYTES_PER_PRODUCT // (4 * _BITS * max(num, 1)), 1)
    # Sums of 0 and 1 are exact in float32, but not in half precision.
    with torch.autocast(packed.device.type, enabled=False):
        for part in packed.split(step, 1) if length else ():
            bits = (part[..., None] >> _shifts(part)) & 1
            bits = bits.flatten(1).float()
            common += bits @ bits.T
    return common


def decay_scores(scores: Tensor, labels: Tensor, areas: Tensor,
                 common: Tensor, kernel: str, sigma: float) -> Tensor:
    """Lower the scores of masks that better ones of their class cover.

    Args:
        scores: (n,) falling.
        labels: (n,).
        areas: (n,) float pixels, > 0.
        common: (n, n) pixels, see `intersections`.
        kernel: ``'gaussian'`` or ``'linear'``.
        sigma: Of the Gaussian.

    Returns:
        (n,).

    Raises:
        ValueError: if there is no such kernel.
    """
    if kernel not in ('gaussian', 'linear'):
        raise ValueError("`kernel` of matrix NMS must be 'gaussian' or "
                         f"'linear', got {kernel!r}.")
    if not len(scores):
        return scores
    ious = (common / (areas[None] + areas[:, None] - common)).triu(1)
    ious = ious * (labels[None] == labels[:, None]).triu(1)
    # Row i: how much mask i is covered itself.
    covered = ious.max(0).values[:, None].expand_as(ious)
    if kernel == 'gaussian':
        decay = torch.exp(-1 * sigma * ious**2) / torch.exp(
            -1 * sigma * covered**2)
    else:
        decay = (1 - ious) / (1 - covered)
    return scores * decay.min(0).values


def best_first(scores: Tensor, limit: int) -> Tuple[Tensor, Tensor]:
    """Return scores and rows by falling score, ``limit`` of them if > 0."""
    scores, rows = scores.sort(descending=True)
    if limit > 0:
        scores, rows = scores[:limit], rows[:limit]
    return scores, rows
