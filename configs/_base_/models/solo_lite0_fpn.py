# SOLO (arXiv:1912.04488) at a quarter of the usual width.
_base_ = './lite0_fpn.py'

neck_channels = _base_.neck_channels
norm_cfg = dict(type='GN', num_groups=8, requires_grad=True)
# Half of the published ranges. A fifth, as our 256 px are of 1333, puts many
# shapes on strides of 16 and more, where they are a few cells wide.
scale_ranges = ((1, 48), (24, 96), (48, 192), (96, 384), (192, 2048))

model = dict(
    type='mmdet.SOLO',
    mask_head=dict(
        type='SOLOHead',
        num_classes=1,
        in_channels=neck_channels,
        # As in the other quick heads; with four, 360 steps teach little.
        stacked_convs=2,
        feat_channels=neck_channels,
        strides=[8, 8, 16, 32, 32],
        scale_ranges=scale_ranges,
        pos_scale=0.2,
        num_grids=[40, 36, 24, 16, 12],
        cls_down_index=0,
        loss_mask=dict(
            type='mmdet.DiceLoss', use_sigmoid=True, loss_weight=3.0),
        loss_cls=dict(
            type='mmdet.FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=1.0),
        norm_cfg=norm_cfg),
    test_cfg=dict(
        nms_pre=500,
        score_thr=0.1,
        mask_thr=0.5,
        filter_thr=0.05,
        kernel='gaussian',
        sigma=2.0,
        max_per_img=100))
