"""What each family of heads makes masks from, for a made-up image.

Each function makes up the outputs of a network, and returns what makes masks
of them.
"""
import math

import torch
from mask_scene import SHRUNK, boxes, disks, meta
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmseghead.functional.box_masks import paste_masks
from mmseghead.functional.contours import fill_contours
from mmseghead.functional.embedding_clustering import Clusters
from mmseghead.functional.map_regions import paste_map_region
from mmseghead.functional.mask_parts import collect_masks
from mmseghead.models.dense_heads import (SOLOV2Head, SpatialEmbeddingHead,
                                          YOLACTProtonet)
from mmseghead.models.dense_heads.yolact_protonet import PrototypeMasks
from mmseghead.models.roi_heads import FCNMaskHead


def rois(num, size):
    """Mask R-CNN, MaskFCOS, RetinaMask and PointRend."""
    head = FCNMaskHead(num_convs=0, num_classes=1)
    found = InstanceData(
        bboxes=boxes(num, size) / SHRUNK, labels=torch.zeros(num).long())
    return lambda: head.predict_by_feat(
        [disks(num, 28)], [found], [meta(size)],
        ConfigDict(mask_thr_binary=.5), True)[0].masks


def windows(num, size):
    """EffSeg, RefineMask and PointINS."""
    probs = disks(num, 112)[:, 0].sigmoid()
    return lambda: paste_masks(probs, boxes(num, size), size, .5)


def prototypes(num, size):
    """YOLACT."""
    maps = meta(size)['img_shape']
    head = YOLACTProtonet.__new__(YOLACTProtonet)
    torch.nn.Module.__init__(head)
    head.test_cfg = ConfigDict(mask_thr=.5)
    found = InstanceData(bboxes=boxes(num, size) / SHRUNK)
    shared = torch.ones(maps[0] // 4, maps[1] // 4, 32)
    masks = PrototypeMasks(shared, torch.ones(num, 32))
    return lambda: head.predict_by_feat(
        [masks], None, [found], [meta(size)])[0].masks


def kernels(num, size):
    """SOLO and SOLOv2: all candidates, matrix NMS, masks."""
    head = SOLOV2Head(
        num_classes=1,
        in_channels=8,
        mask_feature_head=dict(
            feat_channels=8, start_level=0, end_level=3, out_channels=num,
            mask_stride=4, norm_cfg=dict(type='GN', num_groups=1)),
        test_cfg=ConfigDict(
            nms_pre=num, score_thr=.1, mask_thr=.5, filter_thr=.05,
            kernel='gaussian', sigma=2., max_per_img=num))
    height, width = (side // 4 for side in meta(size)['img_shape'])
    feats = torch.zeros(1, num, height, width)
    for i, box in enumerate((boxes(num, size) / SHRUNK / 4).long().tolist()):
        feats[0, i, box[1]:box[3], box[0]:box[2]] = 1
    picks = 20 * torch.eye(num) - .01
    return lambda: head._predict_by_feat_single(
        picks, torch.full((num, 1), .9), feats, meta(size)).masks


def contours(num, size):
    """PolarMask."""
    angles = torch.arange(36) * math.pi / 18
    box = boxes(num, size)
    center = (box[:, :2] + box[:, 2:]) / 2
    rays = torch.stack((angles.cos(), angles.sin()))
    half = (box[:, 2:] - box[:, :2]) / 2
    points = (center[..., None] + half[..., None] * rays).round()
    return lambda: fill_contours(points, size)


def embeddings(num, size):
    """Spatial Embeddings: the clusters' masks, without the clustering."""
    height, width = meta(size)['img_shape']
    head = SpatialEmbeddingHead.__new__(SpatialEmbeddingHead)
    torch.nn.Module.__init__(head)
    head.clustering = ConfigDict(foreground_thr=.5, phi_thr=.5)
    y, x = torch.meshgrid(
        torch.arange(height) / 1024, torch.arange(width) / 1024, indexing='ij')
    box = boxes(num, size) / SHRUNK / 1024
    clusters = Clusters([torch.zeros(1).long()] * num, torch.zeros(num).long(),
                        torch.ones(num), (box[:, :2] + box[:, 2:]) / 2,
                        math.log(2) / ((box[:, 2:] - box[:, :2]) / 2)**2)
    places, seeds = torch.stack((x, y)), torch.ones(1, height, width)
    return lambda: collect_masks(
        head._resized(clusters, places, seeds, size), num, size)


def maps(num, size):
    """FCOSIS."""
    height, width = meta(size)['img_shape']
    scores = torch.ones(height // 8, width // 8)
    scale = meta(size)['scale_factor']
    return lambda: collect_masks(
        (paste_map_region(i, scores, box, 8, scale, size, threshold=.5)
         for i, box in enumerate(boxes(num, size))), num, size)


#: Function and bytes it holds for a pixel of a mask without a budget.
FAMILIES = dict(rois=(rois, 1), windows=(windows, 1),
                prototypes=(prototypes, 5), kernels=(kernels, 5),
                contours=(contours, 1), embeddings=(embeddings, 1),
                maps=(maps, 1))
