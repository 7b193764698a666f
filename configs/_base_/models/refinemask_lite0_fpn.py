# RefineMask (arXiv:2104.08569) on the quick Mask R-CNN, at a quarter of the
# usual width: 64, 32, 16 and 8 channels at 14, 28, 56 and 112 cells per side.
_base_ = './mask-rcnn_lite0_fpn.py'

neck_channels = _base_.neck_channels

model = dict(
    roi_head=dict(
        type='RefineMaskRoIHead',
        # As for EffSeg: all 32 positives take half as long again.
        max_mask_rois=16,
        bbox_head=dict(
            loss_cls=dict(loss_weight=2.0), loss_bbox=dict(loss_weight=2.0)),
        mask_roi_extractor=dict(roi_layer=dict(sampling_ratio=0)),
        mask_head=dict(
            _delete_=True,
            type='RefineMaskHead',
            num_classes=1,
            in_channels=neck_channels,
            feat_channels=neck_channels,
            semantic_channels=neck_channels,
            # Kaiming's logits of few classes are huge: in 360 steps Adam does
            # not forget their gradients.
            logits_std=0.01)))
