# FCOSIS at a quarter of the usual width. Detection reads P2-P6, as the quick
# FCOS does, not P3-P7.
_base_ = './fcosreg_lite0_fpn.py'

neck_channels = _base_.neck_channels
head_norm = _base_.head_norm

model = dict(
    type='mmdet.SingleStageInstanceSegmentor',
    bbox_head=dict(
        type='FCOSISHead',
        start_level=0,
        # At weight 1 the centres drown the boxes in 360 steps.
        loss_center=dict(
            type='mmdet.SmoothL1Loss', beta=1.0, loss_weight=0.1)),
    mask_head=dict(
        type='FCOSISMaskHead',
        num_classes=1,
        in_channels=neck_channels,
        feat_channels=neck_channels,
        norm_cfg=head_norm),
    test_cfg=dict(mask_thr_binary=0.5))
