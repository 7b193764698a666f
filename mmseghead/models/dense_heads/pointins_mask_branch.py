"""PointINS's mask branch, for any dense head that knows its points.

Legend: B images, L levels, N instances of all images, n of one image, C
channels of the mask tower, s side of a predicted mask, K its classes.
"""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmcv.cnn import ConvModule
from mmdet.structures.bbox import bbox_overlaps
from mmdet.utils import ConfigType, InstanceList, OptConfigType, reduce_mean
from mmengine.model import BaseModule, ModuleList
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmseghead.functional.box_masks import crop_masks, paste_masks
from mmseghead.functional.mask_labels import masks_to_tensor
from mmseghead.functional.pyramid_points import PyramidPoints
from mmseghead.registry import MODELS

_MASK_BOXES = ('mixed', 'pred', 'gt')
_UPSAMPLING = 4  # two deconvolutions


class Positives(NamedTuple):
    """Places of one image that the detector's assigner made positive.

    Attributes:
        places: (n, 4) int64 level, row, column, anchor.
        geometry: (n, 4) what the detector predicts there.
        boxes: (n, 4) the same as boxes, in pixels, within the image.
        gt_inds: (n,) int64 index of the assigned instance.
    """

    places: Tensor
    geometry: Tensor
    boxes: Tensor
    gt_inds: Tensor


@MODELS.register_module()
class PointINSMaskBranch(BaseModule):
    """Mask tower, instance-aware convolution and mask predictor.

    The tower is dense; all else runs at the selected points only. A mask is
    predicted in the frame of its instance's box, at four times the side of
    the template.

    Source: PointINS, arXiv:2003.06148. Its abstract fixes the instance-aware
    convolution; tower, predictor, frames and loss are not in the abstract.

    Args:
        in_channels: Channels of the pyramid.
        num_classes: Number of classes.
        num_anchors: Anchors per location of the detector.
        instance_conv: Config of the instance-aware convolution;
            ``in_channels`` and ``num_anchors`` are filled in.
        feat_channels: C.
        num_convs: Convolutions of the tower.
        predictor_channels: Channels of the predictor.
        class_agnostic: ``False`` predicts a mask per class.
        mask_box: Frame of a mask in training: ``'pred'``, the predicted box,
            cut at the image's border; ``'gt'``, the box of the ground truth;
            ``'mixed'``, the former where its IoU with the latter is at least
            ``mixed_iou``, else the latter.
        mixed_iou: See ``mask_box``.
        max_positives: Points learned from per image; more are drawn from.
        loss_mask: Loss of mask logits against 0 and 1.
        norm_cfg: Norm of the tower.
        init_cfg: Initialisation.

    Raises:
        ValueError: if ``mask_box`` is none of the three or ``max_positives``
            is less than 1.
    """

    def __init__(self,
                 in_channels: int,
                 num_classes: int,
                 num_anchors: int = 1,
                 *,
                 instance_conv: ConfigType = dict(
                     type='mmseghead.InstanceAwareConv'),
                 feat_channels: int = 256,
                 num_convs: int = 4,
                 predictor_channels: int = 64,
                 class_agnostic: bool = True,
                 mask_box: str = 'mixed',
                 mixed_iou: float = 0.5,
                 max_positives: int = 128,
                 loss_mask: ConfigType = dict(
                     type='mmdet.CrossEntropyLoss',
                     use_sigmoid=True,
                     loss_weight=1.0),
                 norm_cfg: OptConfigType = dict(
                     type='GN', num_groups=32, requires_grad=True),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        if mask_box not in _MASK_BOXES:
            raise ValueError('`mask_box` of PointINSMaskBranch must be one of '
                             f'{_MASK_BOXES}, got {mask_box!r}.')
        if max_positives < 1:
            raise ValueError('`max_positives` of PointINSMaskBranch must be '
                             f'at least 1, got {max_positives!r}.')
        self.class_agnostic = class_agnostic
        self.mask_box = mask_box
        self.mixed_iou = mixed_iou
        self.max_positives = max_positives
        self.tower = ModuleList(
            ConvModule(
                feat_channels if i else in_channels,
                feat_channels,
                3,
                padding=1,
                norm_cfg=norm_cfg) for i in range(num_convs))
        self.instance_conv = MODELS.build(
            dict(
                instance_conv,
                in_channels=feat_channels if num_convs else in_channels,
                num_anchors=num_anchors))
        self.mask_size = _UPSAMPLING * self.instance_conv.template_size
        self.predictor = _predictor(self.instance_conv.out_channels,
                                    predictor_channels,
                                    1 if class_agnostic else num_classes)
        self.loss_mask = MODELS.build(loss_mask)

    def init_weights(self) -> None:
        """Start with layers that keep the features' size, and masks of 1/2."""
        super().init_weights()
        for layer in self.predictor:
            if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                # A stride-2 deconvolution reads one input per output.
                mode = 'fan_in' if isinstance(layer, nn.Conv2d) else 'fan_out'
                nn.init.kaiming_normal_(
                    layer.weight, mode=mode, nonlinearity='relu')
                nn.init.zeros_(layer.bias)
        nn.init.normal_(self.predictor[-1].weight, std=0.01)

    def features(self, x: Sequence[Tensor]) -> List[Tensor]:
        """Run the tower.

        Args:
            x: L maps of the pyramid.

        Returns:
            L maps (B, C, h, w).
        """
        maps = []
        for level in x:
            for conv in self.tower:
                level = conv(level)
            maps.append(level)
        return maps

    def forward(self, feats: Sequence[Tensor], points: PyramidPoints,
                geometry: Tensor) -> Tensor:
        """Predict the masks of instances.

        Args:
            feats: L maps of the tower.
            points: The place of each of the N instances.
            geometry: (N, 4) what the detector says of their boxes.

        Returns:
            (N, K, s, s) logits in the frames of the boxes, K = 1 if class-
            agnostic.
        """
        return self.predictor(self.instance_conv(feats, points, geometry))

    def loss(self, x: Sequence[Tensor], positives: Sequence[Positives],
             batch_gt_instances: InstanceList) -> Tensor:
        """Compute the mask loss.

        Args:
            x: L maps of the pyramid.
            positives: Places that the detector learns from, per image.
            batch_gt_instances: ``bboxes``, ``labels`` and ``masks``.

        Returns:
            Binary cross-entropy, mean over the pixels of a mask, averaged
            over the selected instances of all ranks. Without any on this
            rank: 0, connected to all parameters.
        """
        chosen = [self.draw(item) for item in positives]
        targets, labels = [], []
        for item, truth in zip(chosen, batch_gt_instances):
            targets.append(self.targets(item, truth))
            labels.append(truth.labels[item.gt_inds])
        logits = self(
            self.features(x), batch_points([item.places for item in chosen]),
            torch.cat([item.geometry for item in chosen]))
        logits = self.of_class(logits, torch.cat(labels)).float()
        target = torch.cat(targets)
        total = reduce_mean(logits.new_tensor(float(len(logits))))
        if len(logits) == 0:
            return logits.sum()
        pixels = self.mask_size**2
        return self.loss_mask(
            logits.flatten(1),
            target.flatten(1),
            avg_factor=total.clamp(min=1).item() * pixels)

    def draw(self, positives: Positives) -> Positives:
        """Choose at most ``max_positives`` places, at random if more."""
        number = len(positives.gt_inds)
        if number <= self.max_positives:
            return positives
        # From the global generator, which is seeded anew for each step.
        rows = torch.randperm(number)[:self.max_positives]
        rows = rows.to(positives.gt_inds.device)
        return Positives(*(field[rows] for field in positives))

    def frames(self, positives: Positives, gt_bboxes: Tensor) -> Tensor:
        """Choose the frames that masks are learned in.

        Args:
            positives: n places of an image.
            gt_bboxes: (G, 4) boxes of its instances, pixels.

        Returns:
            (n, 4) boxes in pixels, without gradient; see ``mask_box``.
        """
        wanted = gt_bboxes[positives.gt_inds].float()
        boxes = positives.boxes.detach().float()
        if self.mask_box == 'gt':
            return wanted
        if self.mask_box == 'pred':
            return boxes
        iou = bbox_overlaps(boxes, wanted, is_aligned=True)
        return torch.where((iou >= self.mixed_iou)[:, None], boxes, wanted)

    def targets(self, positives: Positives, truth: InstanceData) -> Tensor:
        """Return the (n, s, s) masks that an image's places should predict.

        Args:
            positives: n places of the image.
            truth: ``bboxes`` and ``masks`` of its instances.
        """
        frames = self.frames(positives, truth.bboxes)
        # Only masks that some place learns are moved and cut.
        used, inds = positives.gt_inds.unique(return_inverse=True)
        masks = truth.masks[used.cpu().numpy()]
        return crop_masks(
            masks_to_tensor(masks, frames.device), inds, frames,
            self.mask_size)

    def of_class(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return (N, s, s): of each instance the mask of its class."""
        if self.class_agnostic:
            return logits[:, 0]
        return logits[torch.arange(len(labels), device=labels.device), labels]

    def predict(self, x: Sequence[Tensor], results: InstanceList,
                shapes: Sequence[Tuple[int, int]],
                threshold: float) -> InstanceList:
        """Add masks to detections.

        Args:
            x: L maps of the pyramid.
            results: Detections of each image: ``bboxes`` in pixels of
                ``shapes``, ``labels``, ``places`` (n, 4) and ``geometry``
                (n, 4).
            shapes: (h, w) of the masks of each image.
            threshold: From which probability on a pixel belongs to a mask.

        Returns:
            The detections with ``masks`` (n, h, w) bool, without
            ``geometry``.
        """
        geometry = torch.cat([found.pop('geometry') for found in results])
        probs = geometry.new_zeros((0, self.mask_size, self.mask_size))
        if len(geometry):
            points = batch_points([found.places for found in results])
            logits = self(self.features(x), points, geometry)
            labels = torch.cat([found.labels for found in results])
            probs = self.of_class(logits, labels).float().sigmoid()
        per_image = probs.split([len(found) for found in results])
        for found, part, shape in zip(results, per_image, shapes):
            found.masks = paste_masks(part, found.bboxes, shape, threshold)
        return results


def batch_points(places: Sequence[Tensor]) -> PyramidPoints:
    """Join the (n, 4) places of the images to the points of a batch."""
    images = torch.cat(
        [item.new_full((len(item), ), i) for i, item in enumerate(places)])
    return PyramidPoints(images, *torch.cat(list(places)).unbind(1))


def _predictor(in_channels: int, channels: int, classes: int) -> nn.Sequential:
    layers: List[nn.Module] = []
    for i in range(2):
        layers += [
            nn.Conv2d(channels if i else in_channels, channels, 3, padding=1),
            nn.ReLU(inplace=True)
        ]
    for _ in range(2):
        layers += [
            nn.ConvTranspose2d(channels, channels, 2, stride=2),
            nn.ReLU(inplace=True)
        ]
    return nn.Sequential(*layers, nn.Conv2d(channels, classes, 1))
