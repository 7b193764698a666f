# Mask R-CNN++, the baseline of EffSeg (arXiv:2307.01545): instance features
# (the box head's last one) and mask scores.
_base_ = './mask-rcnn_r50_fpn_1x_coco.py'

model = dict(
    roi_head=dict(
        type='mmseghead.InstanceFeatureRoIHead',
        instance_fusion=dict(
            type='mmseghead.InstanceFeatureFusion',
            inst_channels=1024,
            channels=256),
        mask_score_weighting=True))
