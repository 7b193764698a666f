"""Which boxes a mask branch segments.

R RoIs, B images.
"""
from typing import List, Optional, Sequence, Tuple

import torch
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.structures.bbox import bbox2roi
from mmdet.utils import InstanceList
from torch import Tensor


def clip_boxes(boxes: Tensor, shape: Sequence[int]) -> Tensor:
    """Return boxes cut at the border of their image.

    Args:
        boxes: (n, 4) xyxy, pixels.
        shape: (h, w, ...) of the image, pixels.

    Returns:
        (n, 4); a box outside of the image has no area.
    """
    height, width = shape[:2]
    limits = boxes.new_tensor([width, height, width, height])
    return torch.minimum(boxes.clamp(min=0), limits)


def positive_rois(sampling_results: Sequence[SamplingResult],
                  batch_gt_instances: InstanceList,
                  max_per_img: Optional[int] = None
                  ) -> Tuple[Tensor, Tensor, List[Tensor]]:
    """Return the RoIs to learn masks from.

    Args:
        sampling_results: Of each image.
        batch_gt_instances: Ground truth with ``masks``, whose size bounds
            the boxes.
        max_per_img: Draw that many positive boxes of an image where there
            are more; None: all.

    Returns:
        (R, 5) RoIs without gradient, (R,) int64 object of each by its place
        in its image, and for each image which positive boxes were taken.
    """
    boxes, inds, taken = [], [], []
    for result, instances in zip(sampling_results, batch_gt_instances):
        priors = result.pos_priors.detach()
        rows = torch.arange(len(priors), device=priors.device)
        if max_per_img is not None and len(rows) > max_per_img:
            rows = torch.randperm(
                len(rows), device=rows.device)[:max_per_img].sort().values
        masks = instances.masks
        boxes.append(clip_boxes(priors[rows], (masks.height, masks.width)))
        inds.append(result.pos_assigned_gt_inds[rows])
        taken.append(rows)
    return bbox2roi(boxes), torch.cat(inds), taken


def distinct_rois(rois: Tensor,
                  *keys: Tensor) -> Tuple[Tensor, Tensor]:
    """Find RoIs that occur once for several classes.

    Args:
        rois: (R, 5).
        keys: (R,) further numbers that tell RoIs apart.

    Returns:
        (D,) int64 row of a representative of each distinct RoI, ascending,
        and (R,) int64 place of each RoI's representative among them.
    """
    rows = torch.cat([rois.double(), *(key[:, None].double() for key in keys)],
                     1)
    _, groups = rows.unique(dim=0, return_inverse=True)
    order = torch.arange(len(rois), device=rois.device)
    first = order.new_full((int(groups.max()) + 1 if len(rois) else 0, ),
                           len(rois))
    first = first.scatter_reduce(0, groups, order, 'amin')
    representatives, rank = first.sort()
    places = torch.empty_like(rank).scatter_(0, rank,
                                             torch.arange(
                                                 len(rank),
                                                 device=rank.device))
    return representatives, places[groups]
