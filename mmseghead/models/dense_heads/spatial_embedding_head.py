"""Spatial Embeddings: instances as clusters of pixels.

Legend: B images, C classes, N instances of an image, n bandwidths (1 or 2),
H/W height and width of the network's input.
"""
from typing import (Dict, Iterator, List, NamedTuple, Optional, Sequence,
                    Tuple, Union)

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads.base_mask_head import BaseMaskHead
from mmdet.utils import ConfigType, InstanceList, OptConfigType
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmseghead.functional.embedding_clustering import (Clusters,
                                                       EmbeddingClustering)
from mmseghead.functional.instance_map import OVERLAPS, paint_instances
from mmseghead.functional.mask_labels import masks_to_tensor
from mmseghead.functional.mask_parts import (MaskPart, boxes_of_masks,
                                             collect_masks)
from mmseghead.functional.spatial_embedding import coordinate_map, membership
from mmseghead.registry import MODELS

_IGNORE_MODES = ('background', 'ignore')


class PaintedTargets(NamedTuple):
    """Who owns the pixels of a batch; what ``SpatialEmbeddingLoss`` reads."""

    ids: Tensor  #: (B, H, W) int64: 0 for none, else 1 to K in the batch
    images: Tensor  #: (K,) int64 image of each instance
    labels: Tensor  #: (K,) int64 in 0 to C - 1
    valid: Optional[Tensor]  #: (B, C, H, W) bool, or None for everything


@MODELS.register_module()
class SpatialEmbeddingHead(BaseMaskHead):
    """Predicts an offset, a bandwidth and seed values at every pixel.

    Two decoders of one kind: one for offsets and bandwidths, one for the
    seeds of each class. They begin with offsets of zero and bandwidths of
    one: every pixel is its own embedding, with a radius of 5.7 pixels.

    Source: Neven et al., arXiv:1906.11109; several classes, ignored regions
    and overlapping ground truth are not in the released code.

    Args:
        num_classes: C.
        decoder: A module that is built with ``out_channels``, maps features
            to the input's resolution, and has the last layer as ``output``.
        num_sigma: 1 for circles, 2 for ellipses.
        loss_embedding: ``SpatialEmbeddingLoss``.
        overlap: Who owns a pixel of several masks, ``small_on_top`` or
            ``last_on_top``. Instances of which nothing is seen are dropped.
        ignore_mode: ``background`` takes padding and ignored instances (of
            their class) for background, ``ignore`` leaves their pixels out of
            seed and Lovasz terms. One word for both, or a dict with
            ``padding`` and ``crowd``. Pixels of an annotated instance always
            count.
        train_cfg: Not used.
        test_cfg: Arguments of ``EmbeddingClustering``.
        init_cfg: Initialisation.

    Raises:
        ValueError: if a choice is not one of those listed.
    """

    def __init__(self,
                 num_classes: int,
                 decoder: ConfigType = dict(type='mmseghead.ERFNetDecoder'),
                 num_sigma: int = 1,
                 loss_embedding: ConfigType = dict(
                     type='mmseghead.SpatialEmbeddingLoss'),
                 overlap: str = 'small_on_top',
                 ignore_mode: Union[str, Dict[str, str]] = dict(
                     padding='ignore', crowd='background'),
                 train_cfg: OptConfigType = None,
                 test_cfg: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        for name, value, allowed in (('num_sigma', num_sigma, (1, 2)),
                                     ('overlap', overlap, OVERLAPS)):
            if value not in allowed:
                raise ValueError(f'`{name}` of SpatialEmbeddingHead must be '
                                 f'one of {allowed}, got {value!r}.')
        self.num_classes = num_classes
        self.num_sigma = num_sigma
        self.overlap = overlap
        self.ignore_mode = _both_modes(ignore_mode)
        self.clustering = EmbeddingClustering(**(test_cfg or {}))
        self.offset_decoder = MODELS.build(
            dict(decoder, out_channels=2 + num_sigma))
        self.seed_decoder = MODELS.build(
            dict(decoder, out_channels=num_classes))
        self.loss_embedding = MODELS.build(loss_embedding)
        if hasattr(self.loss_embedding, 'check_classes'):
            self.loss_embedding.check_classes(num_classes)
        self._reset_output()

    def init_weights(self) -> None:
        """Initialise; offsets begin at zero, raw bandwidths at one."""
        super().init_weights()
        self._reset_output()

    def _reset_output(self) -> None:
        output = self.offset_decoder.output
        nn.init.zeros_(output.weight)
        nn.init.zeros_(output.bias[:2])
        nn.init.ones_(output.bias[2:])

    def forward(self, x: Sequence[Tensor]) -> Tuple[Tensor, Tensor]:
        """Predict maps.

        Args:
            x: Features of the backbone or the neck.

        Returns:
            (B, 2 + n, H, W) raw offsets x, y and raw bandwidths, and
            (B, C, H, W) seed logits.
        """
        return self.offset_decoder(x), self.seed_decoder(x)

    def loss_by_feat(
            self,
            offset_sigma: Tensor,
            seed_logits: Tensor,
            batch_gt_instances: InstanceList,
            batch_img_metas: List[dict],
            positive_infos: Optional[InstanceList] = None,
            batch_gt_instances_ignore: Optional[InstanceList] = None
    ) -> Dict[str, Tensor]:
        """Compare maps with ground truth.

        Args:
            offset_sigma: (B, 2 + n, H, W).
            seed_logits: (B, C, H, W).
            batch_gt_instances: ``labels`` and ``masks`` of each image.
            batch_img_metas: ``img_shape`` of each image.
            positive_infos: Not used.
            batch_gt_instances_ignore: ``labels`` and ``masks`` of ignored
                instances.

        Returns:
            ``loss_inst``, ``loss_var`` and ``loss_seed``.
        """
        targets = self.paint_targets(batch_gt_instances, batch_img_metas,
                                     batch_gt_instances_ignore,
                                     offset_sigma)
        return self.loss_embedding(offset_sigma, seed_logits, targets)

    def paint_targets(self, batch_gt_instances: InstanceList,
                      batch_img_metas: List[dict],
                      batch_gt_instances_ignore: Optional[InstanceList],
                      like: Tensor) -> PaintedTargets:
        """Paint the instances of a batch.

        Args:
            batch_gt_instances: ``labels`` and ``masks`` of each image.
            batch_img_metas: ``img_shape`` of each image.
            batch_gt_instances_ignore: As ``batch_gt_instances``, or None.
            like: (B, ., H, W): gives size and device of the maps.

        Returns:
            Owners of pixels; ``valid`` is None if all pixels count.
        """
        size, device = like.shape[-2:], like.device
        ids, images, labels, total = [], [], [], 0
        for index, truth in enumerate(batch_gt_instances):
            masks = _fitted(truth.masks, size, device)
            painted, visible = paint_instances(masks, self.overlap)
            ids.append(torch.where(painted > 0, painted + total, 0))
            labels.append(truth.labels.to(device)[visible])
            images.append(torch.full_like(visible, index))
            total += len(visible)
        ids = torch.stack(ids)
        ignored = batch_gt_instances_ignore or [None] * len(ids)
        valid = self._valid(ids, batch_img_metas, ignored)
        return PaintedTargets(ids, torch.cat(images), torch.cat(labels), valid)

    def _valid(self, ids: Tensor, metas: List[dict],
               ignored: Sequence[Optional[InstanceData]]) -> Optional[Tensor]:
        """Return the (B, C, H, W) pixels that count; None for all."""
        height, width = ids.shape[1:]
        crowds = self.ignore_mode['crowd'] == 'ignore' and any(
            item is not None and len(item) for item in ignored)
        padded = self.ignore_mode['padding'] == 'ignore' and any(
            tuple(meta['img_shape'][:2]) != (height, width) for meta in metas)
        if not crowds and not padded:
            return None
        valid = torch.ones(
            len(ids), self.num_classes, height, width, dtype=torch.bool,
            device=ids.device)
        for image, meta, item in zip(valid, metas, ignored):
            if padded:
                rows, columns = meta['img_shape'][:2]
                image[:, rows:] = False
                image[:, :, columns:] = False
            if crowds and item is not None and len(item):
                masks = _fitted(item.masks, (height, width), ids.device)
                for mask, label in zip(masks.bool(), item.labels.tolist()):
                    image[label] &= ~mask
        return valid | (ids > 0)[:, None]

    def predict_by_feat(self,
                        offset_sigma: Tensor,
                        seed_logits: Tensor,
                        batch_img_metas: List[dict],
                        rescale: bool = False,
                        results_list: Optional[InstanceList] = None
                        ) -> InstanceList:
        """Cluster the pixels of each image.

        Args:
            offset_sigma: (B, 2 + n, H, W).
            seed_logits: (B, C, H, W).
            batch_img_metas: ``img_shape``; ``ori_shape`` to rescale.
            rescale: Return masks in pixels of the original image.
            results_list: Not used.

        Returns:
            For each image ``masks`` (N, h, w) bool, ``labels``, ``scores``
            and the ``bboxes`` of the masks, by falling score.
        """
        results = []
        for maps, logits, meta in zip(offset_sigma, seed_logits,
                                      batch_img_metas):
            height, width = meta['img_shape'][:2]
            embeddings, raw, seeds = pixel_maps(
                maps[:, :height, :width], logits[:, :height, :width])
            clusters = self.clustering(embeddings, raw, seeds)
            size = tuple(meta['ori_shape'][:2]) if rescale else (height, width)
            if size == (height, width):
                masks = clusters.masks(height, width)
            else:
                masks = collect_masks(
                    self._resized(clusters, embeddings, seeds, size),
                    len(clusters.pixels), size, maps.device)
            results.append(
                InstanceData(
                    masks=masks,
                    labels=clusters.labels,
                    scores=clusters.scores,
                    bboxes=boxes_of_masks(masks).to(maps.device)))
        return results

    def _resized(self, clusters: Clusters, embeddings: Tensor, seeds: Tensor,
                 size: Tuple[int, int]) -> Iterator[MaskPart]:
        """Yield masks: memberships resized, then compared."""

        def draw(i: int, seeds: Tensor) -> Tensor:
            phi = membership(embeddings, clusters.centers[i, :, None, None],
                             clusters.weights[i, :, None, None])
            phi = phi * (seeds > self.clustering.foreground_thr)
            mask = F.interpolate(
                phi[None, None],
                size=size,
                mode='bilinear',
                align_corners=False)[0] > self.clustering.phi_thr
            if not mask.any():  # thinner than a pixel of the original
                own = torch.zeros_like(phi).flatten()
                own[clusters.pixels[i]] = 1
                mask = F.interpolate(
                    own.view(1, 1, *phi.shape), size=size,
                    mode='nearest')[0] > 0
            return mask

        for i, label in enumerate(clusters.labels.tolist()):
            yield MaskPart([i], draw(i, seeds[label]))


def pixel_maps(offset_sigma: Tensor,
               seed_logits: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
    """Turn the outputs for one image into what is clustered.

    Args:
        offset_sigma: (2 + n, H, W) raw offsets and bandwidths.
        seed_logits: (C, H, W).

    Returns:
        (2, H, W) embeddings, (n, H, W) raw bandwidths and (C, H, W) seeds in
        [0, 1], all float32.
    """
    offset_sigma = offset_sigma.float()
    coordinates = coordinate_map(*offset_sigma.shape[1:], offset_sigma.device)
    return (offset_sigma[:2].tanh() + coordinates, offset_sigma[2:],
            seed_logits.float().sigmoid())


def _fitted(masks, size: Tuple[int, int], device: torch.device) -> Tensor:
    """Return (N, H, W) masks of the given size, padded with zeros."""
    masks = masks_to_tensor(masks, device)
    height, width = size
    return F.pad(
        masks, (0, width - masks.shape[2], 0, height - masks.shape[1]))


def _both_modes(ignore_mode: Union[str, Dict[str, str]]) -> Dict[str, str]:
    if isinstance(ignore_mode, str):
        ignore_mode = dict(padding=ignore_mode, crowd=ignore_mode)
    modes = dict(dict(padding='ignore', crowd='background'), **ignore_mode)
    if set(modes) != {'padding', 'crowd'} or not set(
            modes.values()) <= set(_IGNORE_MODES):
        raise ValueError(
            '`ignore_mode` of SpatialEmbeddingHead must be one of '
            f"{_IGNORE_MODES}, or a dict of them with keys 'padding' and "
            f"'crowd', got {ignore_mode!r}.")
    return modes
