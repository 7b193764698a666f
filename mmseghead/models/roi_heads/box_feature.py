"""The feature from which a box head predicts, for other boxes."""
from typing import Sequence

import torch.nn.functional as F
from mmdet.models.roi_heads import StandardRoIHead
from torch import Tensor


def pooled_box_feature(roi_head: StandardRoIHead, x: Sequence[Tensor],
                       rois: Tensor) -> Tensor:
    """Pool the box branch's last shared feature from given boxes.

    A detection's own feature would belong to the proposal it came from and
    not to its final box; so boxes are pooled anew, in training and test.

    Args:
        roi_head: A RoI head whose box head has shared fully connected layers.
        x: FPN maps, fine to coarse.
        rois: (R, 5), R may be 0.

    Returns:
        (R, ``fc_out_channels``); gradients reach the shared layers.

    Raises:
        TypeError: if the box head has no shared fully connected layers.
    """
    head = roi_head.bbox_head
    if not getattr(head, 'num_shared_fcs', 0):
        raise TypeError('`bbox_head` of pooled_box_feature must have shared '
                        'fully connected layers, as Shared2FCBBoxHead, got '
                        f'{type(head).__name__}.')
    extractor = roi_head.bbox_roi_extractor
    feats = extractor(x[:extractor.num_inputs], rois)
    for conv in head.shared_convs:
        feats = conv(feats)
    if head.with_avg_pool:
        feats = head.avg_pool(feats)
    feats = feats.flatten(1)
    for layer in head.shared_fcs:
        feats = F.relu(layer(feats))
    return feats
