"""The clustering loss of Spatial Embeddings.

Legend: B images, C classes, K instances of the batch, n bandwidths (1 or 2),
F foreground pixels of the batch, P = H * W pixels of an image.
"""
from typing import Any, Dict, Optional, Sequence, Union

import torch
from torch import Tensor, nn

from mmseghead.functional.lovasz import GaussianMasks, gaussian_lovasz_hinge
from mmseghead.functional.spatial_embedding import (Foreground,
                                                    bandwidth_weights,
                                                    coordinate_map,
                                                    find_foreground,
                                                    instance_means)
from mmseghead.registry import MODELS


@MODELS.register_module()
class SpatialEmbeddingLoss(nn.Module):
    """Learns offsets, bandwidths and seeds from instance masks.

    Three terms, each a mean over images: the Lovasz hinge of every instance's
    Gaussian over the whole image; the variance of the raw bandwidth within
    instances; and the squared distance of the seed map to the membership of
    each pixel in its own instance, 0 elsewhere, per class, divided by the
    number of pixels.

    Source: Neven et al., arXiv:1906.11109, section 3; several classes after
    the author's answers in davyneven/SpatialEmbeddings.

    Args:
        to_center: Whether an instance's centre is its centroid, a constant,
            or the mean of its embeddings, which learns ("learned centre").
        inst_weight: Weight of the Lovasz term.
        var_weight: Weight of the variance of bandwidths.
        seed_weight: Weight of the seed term.
        fg_weight: Weight of foreground pixels in the seed term, one for all
            classes or one each.
        seed_reduction: ``sum`` or ``mean`` over classes. Not in the paper.
        max_pairs: Memory bound of ``gaussian_lovasz_hinge``.

    Raises:
        ValueError: if ``seed_reduction`` is not one of the two.
    """

    def __init__(self,
                 to_center: bool = True,
                 inst_weight: float = 1.0,
                 var_weight: float = 10.0,
                 seed_weight: float = 1.0,
                 fg_weight: Union[float, Sequence[float]] = 10.0,
                 seed_reduction: str = 'sum',
                 max_pairs: int = 2**23) -> None:
        super().__init__()
        if seed_reduction not in ('sum', 'mean'):
            raise ValueError('`seed_reduction` of SpatialEmbeddingLoss must '
                             f"be 'sum' or 'mean', got {seed_reduction!r}.")
        self.to_center = to_center
        self.inst_weight = inst_weight
        self.var_weight = var_weight
        self.seed_weight = seed_weight
        self.fg_weight = fg_weight
        self.seed_reduction = seed_reduction
        self.max_pairs = max_pairs

    def check_classes(self, num_classes: int) -> None:
        """Raise ``ValueError`` if ``fg_weight`` is a list of other length."""
        weights = self.fg_weight
        if not isinstance(weights, (int, float)) and \
                len(weights) != num_classes:
            raise ValueError(
                '`fg_weight` of SpatialEmbeddingLoss must be a number or a '
                f'list of {num_classes} numbers, one a class, got '
                f'{len(weights)}.')

    def forward(self,
                offset_sigma: Tensor,
                seed_logits: Tensor,
                targets: Any,
                coordinates: Optional[Tensor] = None) -> Dict[str, Tensor]:
        """Compute the weighted terms.

        Args:
            offset_sigma: (B, 2 + n, H, W): offsets x, y before tanh, then the
                raw bandwidths, x before y.
            seed_logits: (B, C, H, W) before the sigmoid.
            targets: An object with ``ids`` (B, H, W), 0 for none, else 1 to
                K in the batch; ``images`` and ``labels`` (K,) int64; and
                ``valid`` (B, C, H, W) bool, the pixels that count for a
                class, or None. Each instance has at least one pixel, and its
                pixels are valid.
            coordinates: (2, H, W); None for ``coordinate_map``.

        Returns:
            ``loss_inst``, ``loss_var`` and ``loss_seed``; without instances
            the first two are zeros that keep the graph.
        """
        self.check_classes(seed_logits.shape[1])
        # exp(10 s) and sums over megapixels: not in half precision.
        with torch.autocast(offset_sigma.device.type, enabled=False):
            offset_sigma = offset_sigma.float()
            if coordinates is None:
                coordinates = coordinate_map(
                    *offset_sigma.shape[-2:], offset_sigma.device)
            embeddings = offset_sigma[:, :2].tanh() + coordinates
            return self._terms(embeddings.flatten(2),
                               offset_sigma[:, 2:].flatten(2),
                               seed_logits.float().flatten(2), coordinates,
                               targets)

    def _terms(self, embeddings: Tensor, raw: Tensor, seed_logits: Tensor,
               coordinates: Tensor,
               targets: Any) -> Dict[str, Tensor]:
        num_images, num_instances = len(embeddings), len(targets.labels)
        ids = targets.ids.flatten(1)
        foreground = find_foreground(ids, num_instances)
        owners = foreground.owners
        own_embeddings = _columns(embeddings, foreground)  # (2, F)
        own_raw = _columns(raw, foreground)  # (n, F)
        if self.to_center:
            places = foreground.places % ids.shape[1]
            centers = instance_means(
                coordinates.flatten(1)[:, places], foreground)
        else:
            centers = instance_means(own_embeddings, foreground)
        pooled = instance_means(own_raw, foreground)  # (K, n)
        weights = bandwidth_weights(pooled)  # (K, 2)

        # A mean over images of means over instances.
        per_image = torch.bincount(targets.images, minlength=num_images)
        factors = 1. / (per_image[targets.images] * num_images)
        deviations = (own_raw - pooled.detach().T[:, owners]).square()
        variances = instance_means(deviations.mean(0, keepdim=True),
                                   foreground)[:, 0]
        valid = None if targets.valid is None else targets.valid.flatten(2)
        hinge, _ = gaussian_lovasz_hinge(
            embeddings, centers, weights,
            GaussianMasks(ids, targets.images, valid, targets.labels),
            factors, self.max_pairs)
        distances = own_embeddings - centers.T[:, owners]
        phi = (-(weights.T[:, owners] * distances.square()).sum(0)).exp()
        seed = self._seed_term(seed_logits, phi.detach(), foreground, targets)
        return dict(
            loss_inst=self.inst_weight * hinge,
            loss_var=self.var_weight * (variances * factors).sum(),
            loss_seed=self.seed_weight * seed)

    def _seed_term(self, seed_logits: Tensor, phi: Tensor,
                   foreground: Foreground,
                   targets: Any) -> Tensor:
        seeds = seed_logits.sigmoid()  # (B, C, P)
        num_images, num_classes, num_pixels = seeds.shape
        labels = targets.labels[foreground.owners]
        images = foreground.places // num_pixels
        places = foreground.places % num_pixels
        is_background = torch.ones_like(seeds, dtype=torch.bool)
        is_background[images, labels, places] = False
        number = seeds.new_tensor(float(num_pixels))
        if targets.valid is not None:
            valid = targets.valid.flatten(2)
            is_background &= valid
            number = valid.sum(2).clamp(min=1).float()  # (B, C)
        background = (seeds.square() * is_background).sum(2)  # (B, C)
        fg_weight = seeds.new_tensor(self.fg_weight).expand(num_classes)
        errors = fg_weight[labels] * (seeds[images, labels, places] -
                                      phi).square()
        errors = errors.double().new_zeros(num_images * num_classes).index_add(
            0, images * num_classes + labels, errors.double())
        total = background + errors.view(num_images, num_classes).float()
        per_class = total / number
        if self.seed_reduction == 'mean':
            return per_class.mean()
        return per_class.sum(1).mean()


def _columns(values: Tensor, foreground: Foreground) -> Tensor:
    """Return the (C, F) foreground columns of (B, C, P) values."""
    return values.transpose(0, 1).flatten(1)[:, foreground.places]
