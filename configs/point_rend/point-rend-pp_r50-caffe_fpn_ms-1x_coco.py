# PointRend++, the baseline of EffSeg (arXiv:2307.01545): instance features
# (the box head's last one) for the coarse head, and mask scores.
_base_ = './point-rend_r50-caffe_fpn_ms-1x_coco.py'

model = dict(
    roi_head=dict(
        type='mmseghead.InstanceFeaturePointRendRoIHead',
        instance_fusion=dict(
            type='mmseghead.InstanceFeatureFusion',
            inst_channels=1024,
            channels=256),
        mask_score_weighting=True))
