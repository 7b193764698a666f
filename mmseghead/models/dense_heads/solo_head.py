"""SOLO heads whose predictions have boxes.

Source: SOLO, arXiv:1912.04488; SOLOv2, arXiv:2003.10152. The methods have no
boxes; that predictions carry those of their masks is not in the papers.
"""
from typing import Dict, Iterator, List, Tuple

import torch
import torch.nn.functional as F
from mmdet.models.dense_heads import SOLOHead as _SOLOHead
from mmdet.models.dense_heads import SOLOV2Head as _SOLOV2Head
from mmdet.utils import ConfigType, OptConfigType
from mmengine.structures import InstanceData
from torch import Tensor

from mmseghead.functional.combined_maps import CombinedMaps
from mmseghead.functional.mask_parts import (MaskPart, boxes_of_masks,
                                             collect_masks, masks_per_pass)
from mmseghead.functional.matrix_nms import (best_first, decay_scores,
                                             intersections, pack_bits)
from mmseghead.registry import MODELS

# Of SOLO's masks; that of SOLOv2's is an argument.
_MASK_STRIDE = 4


class _BoundedDecoding:
    """Turn the candidates' score maps into instances, a few at a time.

    The steps and their numbers are those of mmdet's heads, which hold all
    candidates' maps at once.
    """

    def _candidate_strides(self, places: Tensor) -> Tensor:
        """Return the (n,) strides of cells, counted over all grids."""
        counts = places.new_tensor(self.num_grids).square()
        strides = places.new_tensor(self.strides).repeat_interleave(counts)
        return strides[places].float()

    def _decode(self, maps: CombinedMaps, scores: Tensor, labels: Tensor,
                strides: Tensor, meta: dict, stride: int,
                cfg: ConfigType) -> InstanceData:
        """Select, suppress and draw the instances of one image.

        Args:
            maps: n candidates' mask probabilities, (h, w) each.
            scores: (n,) of the classes.
            labels: (n,) int64.
            strides: (n,) smallest number of cells of a mask, exclusive.
            meta: ``img_shape`` and ``ori_shape``.
            stride: Pixels of the network's input in a cell.
            cfg: Test configuration.
        """
        areas, sure = self._maskness(maps, cfg.mask_thr, scores)
        kept = (areas > strides).nonzero()[:, 0]
        scores, order = best_first(scores[kept] * sure[kept], cfg.nms_pre)
        kept = kept[order]
        common = self._intersections(maps, kept, cfg.mask_thr)
        scores = decay_scores(scores, labels[kept], areas[kept], common,
                              cfg.kernel, cfg.sigma)
        if cfg.filter_thr > 0:
            good = scores >= cfg.filter_thr
            scores, kept = scores[good], kept[good]
        scores, order = best_first(scores, cfg.max_per_img)
        kept = kept[order]
        size = tuple(meta['ori_shape'][:2])
        masks = collect_masks(
            self._drawn(maps, kept, meta, stride, cfg.mask_thr), len(kept),
            size, scores.device)
        return InstanceData(
            masks=masks,
            labels=labels[kept],
            scores=scores,
            bboxes=boxes_of_masks(masks).to(scores.device))

    def _maskness(self, maps: CombinedMaps, threshold: float,
                  like: Tensor) -> Tuple[Tensor, Tensor]:
        """Return (n,) cells of each mask and the mean probability there."""
        areas, sure = [like.new_zeros(0)], [like.new_zeros(0)]
        for probs in maps.blocks() if len(maps) else ():
            masks = probs > threshold
            area = masks.sum((1, 2)).float()
            areas.append(area)
            sure.append((probs * masks).sum((1, 2)) / area)
        return torch.cat(areas), torch.cat(sure)

    def _intersections(self, maps: CombinedMaps, kept: Tensor,
                       threshold: float) -> Tensor:
        """Return the (m, m) cells that (m,) candidates have in common."""
        ascending, order = kept.sort()
        packed = [pack_bits(p > threshold) for p in maps.read(ascending)]
        if not packed:
            return kept.new_zeros((0, 0), dtype=torch.float32)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order), device=order.device)
        return intersections(torch.cat(packed)[rank])

    def _drawn(self, maps: CombinedMaps, kept: Tensor, meta: dict,
               stride: int, threshold: float) -> Iterator[MaskPart]:
        """Yield (m,) candidates' masks in pixels of the original image."""
        height, width = meta['img_shape'][:2]
        size = tuple(meta['ori_shape'][:2])
        ascending, order = kept.sort()
        rows = order.tolist()
        large = tuple(stride * side for side in maps.shape)
        step = masks_per_pass(4 * large[0] * large[1] + 5 * size[0] * size[1])

        def draw(probs: Tensor) -> Tensor:
            probs = F.interpolate(
                probs[None], size=large, mode='bilinear', align_corners=False)
            probs = F.interpolate(
                probs[:, :, :height, :width],
                size=size,
                mode='bilinear',
                align_corners=False)[0]
            return probs > threshold

        for probs in maps.read(ascending, step):
            own, rows = rows[:len(probs)], rows[len(probs):]
            yield MaskPart(own, draw(probs))


@MODELS.register_module()
class SOLOHead(_BoundedDecoding, _SOLOHead):
    """mmdet's ``SOLOHead`` with the masks' boxes, in bounded memory.

    Arguments are its own.
    """

    def _predict_by_feat_single(self,
                                cls_scores: Tensor,
                                mask_preds: Tensor,
                                img_meta: dict,
                                cfg: OptConfigType = None) -> InstanceData:
        """Decode one image.

        Args:
            cls_scores: (P, C) probabilities of all cells of all grids.
            mask_preds: (P, h, w) probabilities.
            img_meta: ``img_shape`` and ``ori_shape``.
            cfg: Used in place of ``test_cfg``.

        Returns:
            ``masks`` (n, H, W) bool of the original image, ``labels``,
            ``scores`` and the masks' ``bboxes``, by falling score.
        """
        cfg = self.test_cfg if cfg is None else cfg
        found = cls_scores > cfg.score_thr
        places, labels = found.nonzero().unbind(1)
        maps = CombinedMaps(mask_preds.__getitem__, places,
                            tuple(mask_preds.shape[1:]))
        return self._decode(maps, cls_scores[found], labels,
                            self._candidate_strides(places), img_meta,
                            _MASK_STRIDE, cfg)


@MODELS.register_module()
class SOLOV2Head(_BoundedDecoding, _SOLOV2Head):
    """mmdet's ``SOLOV2Head`` with the masks' boxes, in bounded memory.

    Arguments are its own. Without objects the kernels get a gradient of 0, not none, which
    distributed training needs.
    """

    def loss_by_feat(self, mlvl_kernel_preds: List[Tensor], *args,
                     **kwargs) -> Dict[str, Tensor]:
        """Compute mmdet's losses.

        Args:
            mlvl_kernel_preds: Per level (B, D, S, S) kernels.
            *args: As for mmdet's head.
            **kwargs: Likewise.

        Returns:
            ``loss_mask`` and ``loss_cls``.
        """
        losses = super().loss_by_feat(mlvl_kernel_preds, *args, **kwargs)
        losses['loss_mask'] = losses['loss_mask'] + sum(
            kernels.sum() * 0 for kernels in mlvl_kernel_preds)
        return losses

    def _predict_by_feat_single(self,
                                kernel_preds: Tensor,
                                cls_scores: Tensor,
                                mask_feats: Tensor,
                                img_meta: dict,
                                cfg: OptConfigType = None) -> InstanceData:
        """Decode one image.

        Args:
            kernel_preds: (P, D) kernels of all cells of all grids.
            cls_scores: (P, C) probabilities.
            mask_feats: (1, channels, h, w) that the kernels are applied to.
            img_meta: ``img_shape`` and ``ori_shape``.
            cfg: Used in place of ``test_cfg``.

        Returns:
            See ``SOLOHead``.
        """
        cfg = self.test_cfg if cfg is None else cfg
        found = cls_scores > cfg.score_thr
        places, labels = found.nonzero().unbind(1)
        side = self.dynamic_conv_size

        def combine(rows: Tensor) -> Tensor:
            kernels = kernel_preds[rows].view(len(rows), -1, side, side)
            return F.conv2d(mask_feats, kernels)[0].sigmoid()

        maps = CombinedMaps(combine, places, tuple(mask_feats.shape[2:]))
        return self._decode(maps, cls_scores[found], labels,
                            self._candidate_strides(places), img_meta,
                            self.mask_stride, cfg)
