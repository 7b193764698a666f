"""The Lovasz hinge: a convex stand-in for one minus the mask IoU.

Legend: B images, K instances, P pixels of an image, N pairs of an instance
and a pixel.

Source: Berman et al., arXiv:1705.08790; for Gaussian instances
arXiv:1906.11109, section 3.2.
"""
import math
from typing import NamedTuple, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: A background pixel with a larger exponent has 2 phi - 1 == -1 in float32:
#: error 0, gradient 0 and the last rank. It changes nothing.
NEGLIGIBLE_EXPONENT = 26 * math.log(2)


def lovasz_ranks(errors: Tensor, is_member: Tensor, owners: Tensor,
                 num_instances: int) -> Tensor:
    """Return the Lovasz extension's weight of each error.

    One sort for all instances. The weight is the rise of the Jaccard loss
    when the pixel joins those with larger errors. With I members not seen
    yet and a union of U, both after the pixel, that is 1 / U for a member
    and I / (U (U - 1)) for a pixel of the background.

    Args:
        errors: (N,) hinge errors; those below zero count as zero.
        is_member: (N,) bool: whether the pixel belongs to the instance.
        owners: (N,) int64 instance of each pair, ascending.
        num_instances: K.

    Returns:
        (N,) float32 weights in the order of the pairs; ranks of equal errors
        follow their order.
    """
    # Of floats from zero on, the bits ascend with the value. `+ 0` turns a
    # negative zero, whose bits don't, into zero.
    bits = (errors.detach().float().clamp(min=0) + 0.).view(torch.int32)
    keys = (owners << 32) + (0x7fffffff - bits.long())
    order = keys.sort(stable=True)[1]
    member = is_member[order].long()
    pairs = torch.bincount(owners, minlength=num_instances)
    seen = member.cumsum(0)  # (N,), of all instances so far
    first = pairs.cumsum(0) - pairs  # (K,)
    seen_before = torch.cat((seen.new_zeros(1), seen))[first]
    total = torch.zeros_like(pairs).index_add_(0, owners, is_member.long())
    # Sorted by instance, owners are what they were.
    seen = seen - seen_before[owners]
    rank = torch.arange(1, len(keys) + 1, device=keys.device) - first[owners]
    total = total[owners]
    union = (total + rank - seen).float()
    missing = (total - seen).float()
    fall = missing / (union * (union - 1))
    # An instance without members: the first pixel alone costs everything.
    fall = torch.where(total == 0, (rank == 1).float(), fall)
    sorted_weights = torch.where(member.bool(), 1 / union, fall)
    return torch.empty_like(sorted_weights).index_copy_(
        0, order, sorted_weights)


def lovasz_hinge(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the Lovasz hinge of one flat mask.

    Args:
        logits: (P,) with the decision at zero; ``2 phi - 1`` for memberships.
        labels: (P,) bool, or 0 and 1.

    Returns:
        Scalar: ``sum relu(1 - logit * sign) * weight``, the weights constant
        for the gradient. In [0, 2] for logits in [-1, 1]; without pixels a 0
        that keeps the graph.
    """
    if logits.numel() == 0:
        return logits.sum() * 0
    labels = labels.bool()
    errors = 1 - logits * (2 * labels.to(logits.dtype) - 1)
    owners = torch.zeros_like(labels, dtype=torch.long)
    weights = lovasz_ranks(errors, labels, owners, 1)
    return errors.relu() @ weights.to(errors.dtype)


class GaussianMasks(NamedTuple):
    """What decides which pixel belongs to which instance of a batch."""

    ids: Tensor  #: (B, P) integers: 0 for none, else 1 to K
    images: Tensor  #: (K,) int64 image of each instance
    #: (B, R, P) bool: pixels that count; None for all of them
    valid: Optional[Tensor] = None
    #: (K,) int64: row of ``valid`` that holds for the instance
    valid_rows: Optional[Tensor] = None


def gaussian_lovasz_hinge(embeddings: Tensor,
                          centers: Tensor,
                          weights: Tensor,
                          masks: GaussianMasks,
                          factors: Tensor,
                          max_pairs: int = 2**23) -> Tuple[Tensor, Tensor]:
    """Sum the Lovasz hinges of Gaussian instances.

    Equals, for each instance, ``lovasz_hinge(2 phi - 1, own pixels)`` over
    all pixels of its image, but leaves out those that change neither value
    nor gradient, sorts once per group of instances, and computes gradients
    on the way: nothing but them is kept for the backward pass, so that
    memory does not grow with the number of instances.

    Args:
        embeddings: (B, 2, P) float32.
        centers: (K, 2).
        weights: (K, 2) weights of squared distances.
        masks: Pixels of the instances.
        factors: (K,) factor of each instance in the sum, constant.
        max_pairs: Instances go in groups of at most this many pairs with
            pixels, one instance at least: a bound of the memory, of about
            60 bytes a pair where nothing can be left out.

    Returns:
        The scalar sum, and the (K,) hinges themselves without a gradient.
        Where K is 0, a 0 that keeps the graph.
    """
    return _GaussianLovaszHinge.apply(embeddings, centers, weights, masks,
                                      factors, max_pairs)


class _Pairs(NamedTuple):
    """Pairs of instances and pixels that matter."""

    owners: Tensor  #: (N,) instance within the group, ascending
    pixels: Tensor  #: (N,) index into B * P
    differences: Tensor  #: (2, N) embedding minus centre
    phi: Tensor  #: (N,)
    is_member: Tensor  #: (N,) bool


class _GaussianLovaszHinge(torch.autograd.Function):

    @staticmethod
    def forward(ctx, embeddings, centers, weights, masks, factors, max_pairs):
        num_instances, num_pixels = len(centers), embeddings.shape[-1]
        grads = [torch.zeros_like(t) for t in (embeddings, centers, weights)]
        hinges = centers.new_zeros(num_instances)
        step = max(max_pairs // max(num_pixels, 1), 1)
        for begin in range(0, num_instances, step):
            group = slice(begin, begin + step)
            pairs = _significant_pairs(embeddings, centers, weights, masks,
                                       group)
            hinges[group] = _add_gradients(pairs, weights[group],
                                           factors[group], grads, group)
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(hinges)
        return (hinges * factors).sum(), hinges

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_sum, _):
        return (*[grad_sum * grad for grad in ctx.saved_tensors], None, None,
                None)


def _significant_pairs(embeddings: Tensor, centers: Tensor, weights: Tensor,
                       masks: GaussianMasks, group: slice) -> _Pairs:
    images = masks.images[group]
    num_pixels = embeddings.shape[-1]
    center, weight = centers[group], weights[group]
    exponents = weight[:, 0, None] * (embeddings[images, 0] -
                                      center[:, 0, None]).square_()
    exponents += weight[:, 1, None] * (embeddings[images, 1] -
                                       center[:, 1, None]).square_()
    numbers = torch.arange(
        group.start + 1, group.start + 1 + len(images), device=centers.device)
    own = masks.ids[images] == numbers[:, None]  # (k, P)
    keep = (exponents <= NEGLIGIBLE_EXPONENT) | own
    if masks.valid is not None:
        keep &= masks.valid[images, masks.valid_rows[group]]
    places = keep.flatten().nonzero().flatten()  # (N,), by instance
    owners = places // num_pixels
    pixels = images[owners] * num_pixels + places % num_pixels
    points = embeddings.transpose(0, 1).flatten(1)[:, pixels]  # (2, N)
    return _Pairs(owners, pixels, points - center.T[:, owners],
                  (-exponents.flatten()[places]).exp(), own.flatten()[places])


def _add_gradients(pairs: _Pairs, weights: Tensor, factors: Tensor, grads,
                   group: slice) -> Tensor:
    """Add a group's gradients to ``grads``; return its (k,) hinges."""
    owners, is_member, phi = pairs.owners, pairs.is_member, pairs.phi
    num_instances = len(weights)
    errors = torch.where(is_member, 2 - 2 * phi, 2 * phi)
    ranks = lovasz_ranks(errors, is_member, owners, num_instances)

    def summed(values: Tensor) -> Tensor:
        sums = values.new_zeros(num_instances, dtype=torch.float64)
        return sums.index_add_(0, owners, values.double()).to(values.dtype)

    # d hinge / d exponent: members lose membership with the distance.
    slopes = torch.where(is_member, 2 * ranks, -2 * ranks) * phi
    slopes = torch.where(errors > 0, slopes * factors[owners], 0)
    by_embedding, by_center, by_weight = grads
    by_embedding = by_embedding.transpose(0, 1)  # (2, B, P), a view
    for axis, difference in enumerate(pairs.differences):
        slope = slopes * difference
        by_weight[group, axis] = summed(slope * difference)
        slope = 2 * weights[owners, axis] * slope
        by_center[group, axis] = -summed(slope)
        num_images, num_pixels = by_embedding.shape[1:]
        by_embedding[axis] += slope.new_zeros(
            num_images * num_pixels).index_add_(
                0, pairs.pixels, slope).view(num_images, num_pixels)
    return summed(errors * ranks)
