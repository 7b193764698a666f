"""YOLACT's mask head in bounded memory."""
from typing import Iterator, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import YOLACTProtonet as _YOLACTProtonet
from mmdet.utils import InstanceList
from mmengine.structures import InstanceData
from torch import Tensor

from mmseghead.functional.combined_maps import CombinedMaps
from mmseghead.functional.mask_parts import (MaskPart, Masks, collect_masks,
                                             masks_per_pass)
from mmseghead.registry import MODELS

# What cropping holds for a cell: some bools and copies.
_BYTES_PER_CELL = 32


class PrototypeMasks(NamedTuple):
    """The masks of one image before they are combined."""

    prototypes: Tensor  #: (h, w, P)
    coeffs: Tensor  #: (n, P)

    def maps(self) -> CombinedMaps:
        """Return the n masks, probabilities."""

        def combine(rows: Tensor) -> Tensor:
            logits = self.prototypes @ self.coeffs[rows].t()  # (h, w, k)
            return logits.sigmoid().permute(2, 0, 1)

        rows = torch.arange(len(self.coeffs), device=self.coeffs.device)
        return CombinedMaps(combine, rows, tuple(self.prototypes.shape[:2]))


@MODELS.register_module()
class YOLACTProtonet(_YOLACTProtonet):
    """mmdet's ``YOLACTProtonet``, which in a test combines masks late.

    Prototypes are combined, cropped and resized for a few instances at a
    time. Arguments are its own.

    Source: YOLACT, arXiv:1904.02689.
    """

    def forward(
        self, x: tuple, positive_infos: InstanceList
    ) -> Tuple[List[Union[Tensor, PrototypeMasks]], Optional[Tensor]]:
        """Return the masks of instances, not yet cropped.

        Args:
            x: Maps of the neck, of which the first is read.
            positive_infos: ``coeffs`` (n, P) of each image.

        Returns:
            In training as mmdet's: (h, w, n) probabilities of each image, and
            segmentation logits. In a test prototypes and coefficients of each
            image, and None.
        """
        if self.training:
            return super().forward(x, positive_infos)
        prototypes = self.protonet(x[0]).permute(0, 2, 3, 1).contiguous()
        return [
            PrototypeMasks(maps, found.coeffs)
            for maps, found in zip(prototypes, positive_infos)
        ], None

    def predict_by_feat(self,
                        mask_preds: List[PrototypeMasks],
                        segm_preds: Optional[Tensor],
                        results_list: InstanceList,
                        batch_img_metas: List[dict],
                        rescale: bool = True) -> InstanceList:
        """Add masks to detections.

        Args:
            mask_preds: What ``forward`` returns in a test.
            segm_preds: Not used.
            results_list: Detections, boxes in pixels of the network's input.
            batch_img_metas: ``img_shape``, ``ori_shape``, ``scale_factor``.
            rescale: Return boxes and masks in pixels of the original image.

        Returns:
            The detections with ``masks`` (n, H, W) bool.
        """
        for masks, found, meta in zip(mask_preds, results_list,
                                      batch_img_metas):
            found.masks = self._masks_of_image(masks, found, meta, rescale)
            if rescale:
                found.bboxes /= found.bboxes.new_tensor(
                    meta['scale_factor']).repeat((1, 2))
        return results_list

    def _masks_of_image(self, masks: PrototypeMasks, found: InstanceData,
                        meta: dict, rescale: bool) -> Masks:
        height, width = meta['img_shape'][:2]
        boxes = found.bboxes.clone()
        boxes[:, 0::2] /= width
        boxes[:, 1::2] /= height
        size = tuple(meta['ori_shape'][:2])
        if not rescale and len(found):
            factors = boxes.new_tensor(meta['scale_factor']).tolist()
            size = tuple(
                int(np.round(a * b)) for a, b in zip(size, factors[::-1]))
        return collect_masks(
            self._parts(masks.maps(), boxes, size), len(found), size,
            boxes.device)

    def _parts(self, maps: CombinedMaps, boxes: Tensor,
               size: Tuple[int, int]) -> Iterator[MaskPart]:
        """Yield masks cropped to (n, 4) boxes, 0 to 1 of the image."""
        step = masks_per_pass(5 * size[0] * size[1] + _BYTES_PER_CELL *
                              maps.shape[0] * maps.shape[1])
        begin, inds = 0, torch.arange(len(boxes), device=boxes.device)
        for probs in maps.read(inds, step):
            rows = range(begin, begin + len(probs))
            begin = rows.stop
            yield MaskPart(
                rows,
                self._drawn(probs, boxes[rows.start:rows.stop], size))

    def _drawn(self, probs: Tensor, boxes: Tensor,
               size: Tuple[int, int]) -> Tensor:
        """Return (k, H, W) masks of (k, h, w) probabilities."""
        cropped = self.crop_single(probs.permute(1, 2, 0), boxes)
        cropped = cropped.permute(2, 0, 1).contiguous()
        resized = F.interpolate(
            cropped[None], size, mode='bilinear', align_corners=False)
        return resized[0] > self.test_cfg.mask_thr
