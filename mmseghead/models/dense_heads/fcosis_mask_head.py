"""FCOSIS's segmentation head: one map for many instances.

Legend: B images, n instances of an image, M maps of a batch (one for each
colour of each image), K channels, h/w of the finest map.
"""
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmdet.models.dense_heads.base_mask_head import BaseMaskHead
from mmdet.models.necks.rfp import ASPP
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import SampleList
from mmdet.utils import ConfigType, InstanceList, OptConfigType, reduce_mean
from mmengine.model import normal_init
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmseghead.functional.box_coloring import color_boxes
from mmseghead.functional.map_regions import paste_map_region, resize_by_stride
from mmseghead.functional.mask_labels import (balancing_padding,
                                              masks_to_tensor,
                                              soft_mask_labels)
from mmseghead.functional.mask_parts import MaskPart, Masks, collect_masks
from mmseghead.models.layers.attention_map import grid_centers, inside_boxes
from mmseghead.registry import MODELS
from .fcosis_head import ImageCues


class MapPlan(NamedTuple):
    """Which instances share which map, for the images of a batch."""

    images: Tensor  #: (M,) image of each map
    places: List[Tensor]  #: per image (n,): the map of each instance
    attention: List[Tensor]  #: per level (M, h, w); empty without top-down


@MODELS.register_module()
class FCOSISMaskHead(BaseMaskHead):
    """Segments instances in full-image maps, guided by attention maps.

    Instances whose boxes do not overlap share a map (``color_boxes``). The
    first maps of the neck are multiplied with the attention of a colour's
    instances and go through three convolutions each; their sum gives one map
    of logits at the finest stride, from which each instance's box is cut.

    Without norm, an instance does not feel others further away than the
    head's receptive field; GroupNorm's statistics are of the whole map.

    Source: FCOSIS, section 3.2. GroupNorm, separate convolutions per level
    and soft targets are our choices.

    Args:
        num_classes: Number of classes.
        in_channels: Channels of the neck.
        feat_channels: Channels of the convolutions.
        num_convs: Convolutions per level.
        strides: Strides of the maps read, the first of the neck.
        attention: The top-down link, ``AttentionMap``; None for the paper's
            baseline (table 3a): one map per image, which the class selects a
            channel of and the box cuts.
        class_agnostic: One channel, or one per class.
        with_aspp: Atrous pyramid pooling before the last convolution, for
            the baseline's receptive field.
        norm_cfg: Norm of the convolutions.
        loss_mask: Loss of logits against soft targets in [0, 1].
        max_instances_to_train: Per image; a random choice of more.
        max_maps_per_pass: Maps that go through the head at once; bounds the
            memory of a prediction.
        train_cfg: Not used.
        test_cfg: ``mask_thr_binary``.
        init_cfg: Initialisation.

    Raises:
        ValueError: if a count is smaller than 1.
    """

    def __init__(self,
                 num_classes: int,
                 in_channels: int = 256,
                 feat_channels: int = 256,
                 num_convs: int = 3,
                 strides: Sequence[int] = (4, 8, 16),
                 attention: OptConfigType = dict(
                     type='mmseghead.AttentionMap'),
                 class_agnostic: bool = True,
                 with_aspp: bool = False,
                 norm_cfg: OptConfigType = dict(type='GN', num_groups=32),
                 loss_mask: ConfigType = dict(
                     type='mmdet.CrossEntropyLoss',
                     use_sigmoid=True,
                     loss_weight=1.0),
                 max_instances_to_train: int = 60,
                 max_maps_per_pass: int = 8,
                 train_cfg: OptConfigType = None,
                 test_cfg: OptConfigType = None,
                 init_cfg: OptConfigType = None) -> None:
        super().__init__(init_cfg)
        for name, value in (('max_instances_to_train', max_instances_to_train),
                            ('max_maps_per_pass', max_maps_per_pass),
                            ('num_convs', num_convs)):
            if value < 1:
                raise ValueError(f'`{name}` of FCOSISMaskHead must be at '
                                 f'least 1, got {value}.')
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.class_agnostic = class_agnostic
        self.max_instances_to_train = max_instances_to_train
        self.max_maps_per_pass = max_maps_per_pass
        self.test_cfg = test_cfg
        self.attention = None if attention is None else MODELS.build(attention)
        self.loss_mask = MODELS.build(loss_mask)
        self.towers = nn.ModuleList([
            nn.Sequential(*[
                ConvModule(
                    in_channels if i == 0 else feat_channels,
                    feat_channels,
                    3,
                    padding=1,
                    norm_cfg=norm_cfg) for i in range(num_convs)
            ]) for _ in self.strides
        ])
        # Four branches of a quarter of the channels each.
        self.context = ASPP(feat_channels, feat_channels //
                            4) if with_aspp else nn.Identity()
        self.predictor = nn.Conv2d(
            feat_channels, 1 if class_agnostic else num_classes, 1)

    def init_weights(self) -> None:
        """Initialise; the last convolution near zero.

        Otherwise the mask loss begins with gradients far larger than those of
        the boxes, which an optimiser such as Adam remembers for long.
        """
        super().init_weights()
        normal_init(self.predictor, std=0.01)

    def forward(self, x: Sequence[Tensor]) -> Tensor:
        """Return the logits of maps.

        Args:
            x: Per level (M, C, h, w) features, with attention multiplied.

        Returns:
            (M, K, h, w) at the finest stride.
        """
        total = None
        for level, tower in zip(x, self.towers):
            level = tower(level)
            if total is not None:
                level = F.interpolate(
                    level,
                    size=total.shape[-2:],
                    mode='bilinear',
                    align_corners=False)
            total = level if total is None else total + level
        return self.predictor(self.context(total))

    def plan_maps(self, cues: Sequence[ImageCues], boxes: Sequence[Tensor],
                  sizes: Sequence[Tuple[int, int]]) -> MapPlan:
        """Share out instances to maps and build the maps' attention.

        Args:
            cues: What the detection head knows of each image.
            boxes: Per image (n, 4), pixels.
            sizes: (h, w) of each level that is read.

        Returns:
            The plan; without top-down link each image has one map.
        """
        device = boxes[0].device
        images, places, attention = [], [], []
        total = 0
        for i, (image, found) in enumerate(zip(cues, boxes)):
            if self.attention is None:
                colors = found.new_zeros(len(found), dtype=torch.long)
            else:
                colors = color_boxes(found)
            number = int(colors.max()) + 1 if len(found) else 0
            places.append(colors + total)
            images += [i] * number
            total += number
            if self.attention is not None:
                attention.append(
                    self._grouped_attention(image, found, colors, number,
                                            sizes))
        levels = [torch.cat(level) for level in zip(*attention)]
        return MapPlan(
            torch.tensor(images, dtype=torch.long, device=device), places,
            levels)

    def _grouped_attention(self, cues: ImageCues, boxes: Tensor,
                           colors: Tensor, number: int,
                           sizes: Sequence[Tuple[int, int]]) -> List[Tensor]:
        """Return per level the (G, h, w) attention of one image's colours."""
        maps = [boxes.new_zeros(number, *size) for size in sizes]
        for level, predicted in enumerate(cues.maps):
            own = (cues.levels == level).nonzero().flatten()
            if len(own) == 0:
                continue
            single = self.attention(predicted, boxes[own], cues.centers[own])
            # Boxes of a colour are apart: their sum is their union.
            joint = single.new_zeros(number, *single.shape[1:]).index_add(
                0, colors[own], single)
            for i, (stride, size) in enumerate(zip(self.strides, sizes)):
                maps[i] = maps[i] + resize_by_stride(
                    joint.float(), predicted.stride, stride, size)
        return maps

    def map_logits(self, x: Sequence[Tensor], plan: MapPlan, begin: int,
                   end: int) -> Tensor:
        """Return the (end - begin, K, h, w) logits of some maps."""
        images = plan.images[begin:end]
        chunk = []
        for i in range(len(self.strides)):
            level = x[i][images]
            if self.attention is not None:
                level = level * plan.attention[i][begin:end, None].to(
                    level.dtype)
            chunk.append(level)
        return self(chunk)

    def loss(self, x: Sequence[Tensor], batch_data_samples: SampleList,
             positive_infos: List[ImageCues]) -> Dict[str, Tensor]:
        """Compute the mask loss.

        Args:
            x: Maps of the neck, fine to coarse.
            batch_data_samples: Ground truth.
            positive_infos: Cues of each image, for all its instances.

        Returns:
            ``loss_mask``: of each instance the mean over its box, enlarged
            until half of it is object, averaged over instances; and the
            learned factors of the attention, for the log.
        """
        truth, _, metas = unpack_gt_instances(batch_data_samples)
        truth, cues = zip(*[
            self._some(instances, info)
            for instances, info in zip(truth, positive_infos)
        ])
        x = x[:len(self.strides)]
        sizes = [tuple(level.shape[-2:]) for level in x]
        plan = self.plan_maps(cues, [item.bboxes for item in truth], sizes)
        number = x[0].new_tensor(float(sum(len(item) for item in truth)))
        average = reduce_mean(number).clamp(min=1).item()
        if number == 0:
            # Each times 0 on its own: the gradients of scalars that are summed
            # first are one tensor, which DDP would overwrite for all of them.
            unused = sum(p.sum() * 0 for p in self.parameters())
            return dict(loss_mask=unused, **self._log())
        logits = torch.cat([
            self.map_logits(x, plan, i, i + self.max_maps_per_pass)
            for i in range(0, len(plan.images), self.max_maps_per_pass)
        ])
        losses = self.loss_by_feat(logits, plan.places, truth, metas, average)
        return dict(losses, **self._log())

    def _log(self) -> Dict[str, Tensor]:
        return {} if self.attention is None else self.attention.factors()

    def _some(self, instances: InstanceData,
              cues: ImageCues) -> Tuple[InstanceData, ImageCues]:
        """Return at most ``max_instances_to_train`` instances."""
        if len(instances) <= self.max_instances_to_train:
            return instances, cues
        chosen = torch.randperm(len(instances))[:self.max_instances_to_train]
        chosen = chosen.to(cues.levels.device)
        return instances[chosen], cues._replace(
            levels=cues.levels[chosen], centers=cues.centers[chosen])

    def loss_by_feat(self, logits: Tensor, places: List[Tensor],
                     batch_gt_instances: Sequence[InstanceData],
                     batch_img_metas: List[dict],
                     average: float) -> Dict[str, Tensor]:
        """Compare maps with ground truth.

        Args:
            logits: (M, K, h, w).
            places: Per image (n,): the map of each instance.
            batch_gt_instances: ``bboxes``, ``labels`` and ``masks``.
            batch_img_metas: ``img_shape`` of each image.
            average: Number of instances to divide by.

        Returns:
            ``loss_mask``.
        """
        size = tuple(logits.shape[-2:])
        predicted, wanted, weights = [], [], []
        for own, item, meta in zip(places, batch_gt_instances,
                                   batch_img_metas):
            if len(item) == 0:
                continue
            masks = masks_to_tensor(item.masks, logits.device)
            wanted.append(
                soft_mask_labels(masks, self.strides[:1], [size])[0])
            area = self._learned_area(masks, item.bboxes, meta['img_shape'],
                                      size)
            weights.append(area / area.sum((1, 2), keepdim=True))
            channels = 0 if self.class_agnostic else item.labels
            predicted.append(logits[own, channels])
        return dict(
            loss_mask=self.loss_mask(
                torch.cat(predicted).float().flatten(1),
                torch.cat(wanted).flatten(1),
                weight=torch.cat(weights).flatten(1),
                avg_factor=average))

    def _learned_area(self, masks: Tensor, boxes: Tensor,
                      img_shape: Tuple[int, int],
                      size: Tuple[int, int]) -> Tensor:
        """Return the (n, h, w) cells to learn, 1 or 0, at least one each."""
        boxes = boxes.float()
        sides = boxes[:, 2:] - boxes[:, :2]
        foreground = masks.sum((1, 2), dtype=torch.float32)
        padding = balancing_padding(foreground, sides[:, 0], sides[:, 1])
        limit = boxes.new_tensor([img_shape[1], img_shape[0]])
        first = (boxes[:, :2] - padding[:, None]).clamp(min=0)
        last = torch.minimum(boxes[:, 2:] + padding[:, None], limit)
        stride = self.strides[0]
        return inside_boxes(
            grid_centers(size[1], stride, boxes.device),
            grid_centers(size[0], stride, boxes.device),
            torch.cat((first, last), 1)).float()

    def predict(self,
                x: Sequence[Tensor],
                batch_data_samples: SampleList,
                rescale: bool = False,
                results_list: Optional[InstanceList] = None) -> InstanceList:
        """Segment the detections of ``FCOSISHead``.

        Args:
            x: Maps of the neck.
            batch_data_samples: Meta information of the images.
            rescale: Return boxes and masks in pixels of the original image.
            results_list: What ``FCOSISHead.predict`` found, in pixels of the
                network's input.

        Returns:
            For each image ``bboxes``, ``scores``, ``labels`` and ``masks``
            (n, H, W) bool.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.predict_by_feat(x, results_list, metas, rescale)

    def predict_by_feat(self,
                        x: Sequence[Tensor],
                        results_list: InstanceList,
                        batch_img_metas: List[dict],
                        rescale: bool = False) -> InstanceList:
        """See ``predict``; ``batch_img_metas`` are those of the samples."""
        x = x[:len(self.strides)]
        sizes = [tuple(level.shape[-2:]) for level in x]
        results = []
        for i, (found, meta) in enumerate(zip(results_list, batch_img_metas)):
            masks = self._masks_of_image([level[i:i + 1] for level in x],
                                         sizes, found, meta, rescale)
            boxes = found.bboxes
            if rescale:
                boxes = boxes / boxes.new_tensor(meta['scale_factor']).repeat(
                    2)
            results.append(
                InstanceData(
                    bboxes=boxes,
                    scores=found.scores,
                    labels=found.labels,
                    masks=masks))
        return results

    def _masks_of_image(self, x: Sequence[Tensor],
                        sizes: Sequence[Tuple[int, int]], found: InstanceData,
                        meta: dict, rescale: bool) -> Masks:
        scale = meta['scale_factor'] if rescale else (1.0, 1.0)
        size = tuple(meta['ori_shape' if rescale else 'img_shape'][:2])
        parts = self._mask_parts(x, sizes, found, scale, size)
        return collect_masks(parts, len(found), size, found.bboxes.device)

    def _mask_parts(self, x: Sequence[Tensor],
                    sizes: Sequence[Tuple[int, int]], found: InstanceData,
                    scale: Tuple[float, float],
                    size: Tuple[int, int]) -> Iterator[MaskPart]:
        """Yield the box's window of each instance, map by map."""
        if len(found) == 0:
            return
        cues = ImageCues(found.levels, found.centers, found.cues)
        plan = self.plan_maps([cues], [found.bboxes], sizes)
        place, = plan.places
        boxes = found.bboxes / found.bboxes.new_tensor(scale).repeat(2)
        step = self.max_maps_per_pass
        for begin in range(0, len(plan.images), step):
            scores = self.map_logits(x, plan, begin, begin + step).sigmoid()
            own = ((place >= begin) & (place < begin + step)).nonzero()
            for j in own.flatten().tolist():
                channel = 0 if self.class_agnostic else found.labels[j]
                yield paste_map_region(
                    j,
                    scores[place[j] - begin, channel],
                    boxes[j],
                    self.strides[0],
                    scale,
                    size,
                    threshold=self.test_cfg.mask_thr_binary)
