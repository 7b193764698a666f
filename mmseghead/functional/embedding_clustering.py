"""Greedy clustering of pixel embeddings around the surest seeds.

Legend: C classes, N instances, M members (pixels of one class's foreground),
n bandwidths (1 or 2), H/W height and width in pixels.

Source: Neven et al., arXiv:1906.11109, section 3.4; thresholds and the order
of the steps are those of davyneven/SpatialEmbeddings.
"""
import math
from dataclasses import dataclass
from typing import List, NamedTuple, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from .mask_parts import MaskPart, Masks, collect_masks
from .spatial_embedding import bandwidth_weights, membership


class Clusters(NamedTuple):
    """Instances found in one image, by falling score."""

    pixels: List[Tensor]  #: N x (m,) int64 flat pixel indices; may overlap
    labels: Tensor  #: (N,) int64
    scores: Tensor  #: (N,) seed value of the pixel an instance grew from
    centers: Tensor  #: (N, 2) embedding of that pixel
    weights: Tensor  #: (N, 2) weights of squared distances

    def masks(self, height: int, width: int) -> Masks:
        """Return (N, height, width) bool masks, see `collect_masks`."""
        parts = (self.part(i, width) for i in range(len(self.pixels)))
        return collect_masks(parts, len(self.pixels), (height, width),
                             self.labels.device)

    def part(self, index: int, width: int) -> MaskPart:
        """Return the bounding box's window of one instance.

        Args:
            index: Of the instance.
            width: Of the image.
        """
        pixels = self.pixels[index]
        rows, columns = pixels // width, pixels % width
        top, bottom = rows.min(), rows.max() + 1
        left, right = columns.min(), columns.max() + 1
        mask = pixels.new_zeros((int(bottom - top), int(right - left)),
                                dtype=torch.bool)
        mask[rows - top, columns - left] = True
        return MaskPart([index], mask[None], int(top), int(left))

    def id_map(self, height: int, width: int) -> Tensor:
        """Return an (height, width) int64 map, 0 for none, else 1 to N.

        Of instances that overlap the one found later owns the pixels; within
        a class that is the one with the lower score.
        """
        ids = torch.zeros(
            height * width, dtype=torch.long, device=self.labels.device)
        for number, pixels in enumerate(self.pixels, 1):
            ids[pixels] = number
        return ids.view(height, width)


class _Found(NamedTuple):
    """One instance in the list of members."""

    seed: int
    members: np.ndarray


@dataclass(frozen=True)
class EmbeddingClustering:
    """Reads instances out of embeddings, bandwidths and seed maps.

    For each class: take the pixel with the largest seed value that is in no
    cluster yet; all foreground pixels whose membership in the Gaussian around
    its embedding exceeds ``phi_thr`` are a proposal. It is an instance if it
    is large enough and most of it is new. Either way its pixels are done
    with. All comparisons are strict but that with ``score_thr``. No two
    classes compete.

    The reference looks at all pixels in each step. Here they are sorted once,
    by seed value and by place along the longer axis of the embeddings: a step
    reads the candidates' order and tests only pixels within the Gaussian's
    reach. The result is the same; of equal seed values the pixel that comes
    first in the image goes first.

    Args:
        score_thr: Smallest seed value of an instance's seed; it is also the
            instance's score.
        foreground_thr: Seed value above which a pixel is foreground.
        phi_thr: Membership above which a pixel belongs to a proposal.
        min_pixels: A proposal must have more pixels; with no more foreground
            or unclustered pixels the search ends. Meant for images of two
            megapixels: lower it for small objects.
        min_new: Share of a proposal that must be new, its seed not counted.
        max_per_img: Instances kept of an image, those with the best scores.

    Raises:
        ValueError: if a threshold is not a finite number, or a count is
            below zero.
    """

    score_thr: float = 0.9
    foreground_thr: float = 0.5
    phi_thr: float = 0.5
    min_pixels: int = 128
    min_new: float = 0.5
    max_per_img: int = 1000

    def __post_init__(self) -> None:
        for name in ('score_thr', 'foreground_thr', 'phi_thr', 'min_new'):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ValueError(f'`{name}` of EmbeddingClustering must be a '
                                 f'finite number, got {value!r}.')
        if not 0 < self.phi_thr < 1:
            raise ValueError('`phi_thr` of EmbeddingClustering must be in '
                             f'(0, 1), got {self.phi_thr!r}.')
        for name in ('min_pixels', 'max_per_img'):
            value = getattr(self, name)
            if value < 0:
                raise ValueError(f'`{name}` of EmbeddingClustering must be an '
                                 f'int >= 0, got {value!r}.')

    def __call__(self, embeddings: Tensor, raw_bandwidths: Tensor,
                 seeds: Tensor) -> Clusters:
        """Cluster the pixels of one image.

        Args:
            embeddings: (2, H, W) float32, pixel coordinate plus offset.
            raw_bandwidths: (n, H, W) as the network predicts them.
            seeds: (C, H, W) in [0, 1].

        Returns:
            The instances by falling score, those of equal score by class and
            then by the order in which they were found; without any, empty
            lists and tensors.
        """
        flat, raw = embeddings.flatten(1), raw_bandwidths.flatten(1)
        seeds = seeds.flatten(1)
        pixels, places, labels = [], [], []
        for label in self._classes_with_seeds(seeds):
            values = seeds[label]
            members = (values > self.foreground_thr).nonzero().flatten()
            found = self._grow(flat[:, members], raw[:, members],
                               values[members])
            for seed, own in found:
                places.append(members[seed])
                pixels.append(members[torch.from_numpy(own).to(
                    members.device)])
                labels.append(label)
        return self._best(pixels, places, labels, (flat, raw, seeds))

    def _classes_with_seeds(self, seeds: Tensor) -> List[int]:
        if seeds.shape[1] == 0:
            return []
        peaks = seeds.amax(1) >= self.score_thr
        return peaks.nonzero().flatten().tolist()

    def _best(self, pixels: List[Tensor], places: List[Tensor],
              labels: List[int], maps: Tuple[Tensor, Tensor,
                                             Tensor]) -> Clusters:
        flat, raw, seeds = maps
        places = torch.stack(places) if places else torch.zeros(
            0, dtype=torch.long, device=flat.device)
        labels = torch.tensor(labels, dtype=torch.long, device=flat.device)
        scores = seeds[labels, places]
        order = scores.argsort(descending=True, stable=True)
        order = order[:self.max_per_img]
        places = places[order]
        return Clusters([pixels[i] for i in order.tolist()], labels[order],
                        scores[order], flat[:, places].T,
                        bandwidth_weights(raw[:, places].T))

    def _grow(self, points: Tensor, raw: Tensor, values: Tensor):
        """Run the greedy search over (2, M), (n, M) and (M,)."""
        if len(values) <= self.min_pixels:
            return []
        points, raw, values = (t.detach().float().cpu()
                               for t in (points, raw, values))
        # Along the axis on which instances are further apart.
        spans = points.amax(1) - points.amin(1)
        axis = int(spans.argmax())
        along = points[axis].numpy()
        layout = np.argsort(along, kind='stable')
        band = _Band(axis, along[layout],
                     points[:, torch.from_numpy(layout)],
                     torch.ones(len(values), dtype=torch.bool))
        position = np.empty_like(layout)
        position[layout] = np.arange(len(layout))
        queue = _falling(values.numpy(), self.score_thr)
        weights = bandwidth_weights(raw[:, queue].T).T  # (2, S)
        found = []
        for step, grown in self._steps(band, position[queue], weights):
            found.append(_Found(int(queue[step]), np.sort(layout[grown])))
        return found

    def _steps(self, band: '_Band', queue: np.ndarray, weights: Tensor):
        """Yield (place in the queue, positions) of each accepted proposal."""
        is_open = band.is_open.numpy()
        num_open, step = len(is_open), -1
        while num_open > self.min_pixels:
            step = _next_open(is_open, queue, step + 1)
            if step is None:
                return
            seed = int(queue[step])
            is_open[seed] = False
            num_open -= 1
            start, inside = band.proposal(seed, weights[:, step],
                                          self.phi_thr)
            is_new = band.is_open[start:start + len(inside)]
            size = int(inside.count_nonzero())
            num_new = int((inside & is_new).count_nonzero())
            is_new &= ~inside
            num_open -= num_new
            if size > self.min_pixels and num_new > self.min_new * size:
                yield step, start + inside.nonzero().flatten().numpy()


class _Band(NamedTuple):
    """Members in the order of one coordinate."""

    axis: int
    along: np.ndarray  #: (M,) that coordinate, ascending
    points: Tensor  #: (2, M)
    is_open: Tensor  #: (M,) bool: in no cluster yet

    def proposal(self, seed: int, weights: Tensor,
                 phi_thr: float) -> Tuple[int, Tensor]:
        """Return where the members in reach begin, and which belong."""
        center = self.points[:, seed]
        # A little more than the distance at which phi falls to the
        # threshold: rounding must not cut off a member.
        reach = math.sqrt(
            -math.log(phi_thr) / max(float(weights[self.axis]), 1e-30))
        reach = reach * 1.001 + 1e-6
        middle = float(center[self.axis])
        start, stop = np.searchsorted(
            self.along,
            np.array([middle - reach, middle + reach], self.along.dtype))
        near = self.points[:, start:stop]
        return int(start), membership(near, center[:, None],
                                      weights[:, None]) > phi_thr


def _falling(values: np.ndarray, smallest: float) -> np.ndarray:
    """Return the indices of values >= smallest, largest value first."""
    candidates = np.flatnonzero(values >= smallest)
    return candidates[np.argsort(-values[candidates], kind='stable')]


def _next_open(is_open: np.ndarray, queue: np.ndarray,
               start: int) -> Optional[int]:
    """Return the first place from ``start`` on that is open, if any."""
    length = 64
    while start < len(queue):
        block = is_open[queue[start:start + length]]
        first = int(block.argmax())
        if block[first]:
            return start + first
        start += length
        length *= 2
    return None


def cluster_with_gt(embeddings: Tensor,
                    raw_bandwidths: Tensor,
                    masks: Tensor,
                    phi_thr: float = 0.5) -> Tensor:
    """Segment with the true centres and bandwidths, for diagnosis.

    What remains of the error is that of embeddings and bandwidths alone: the
    paper's ablation is measured so (AP_gt).

    Args:
        embeddings: (2, H, W).
        raw_bandwidths: (n, H, W).
        masks: (N, H, W) bool or uint8 ground truth. One without pixels gets
            an empty mask.
        phi_thr: Membership above which a pixel belongs to an instance.

    Returns:
        (N, H, W) bool: around the mean embedding of each true mask, with its
        mean bandwidth, over the whole image.
    """
    result = torch.zeros_like(masks, dtype=torch.bool)
    for i, mask in enumerate(masks.bool()):
        if not mask.any():
            continue
        center = embeddings[:, mask].double().mean(1).float()
        weights = bandwidth_weights(
            raw_bandwidths[:, mask].double().mean(1).float())
        result[i] = membership(embeddings, center[:, None, None],
                               weights[:, None, None]) > phi_thr
    return result
