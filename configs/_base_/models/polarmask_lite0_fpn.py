# PolarMask (arXiv:1909.13226) at a quarter of the usual width.
_base_ = './lite0_fpn.py'

neck_channels = _base_.neck_channels
num_rays = 36
# P2-P6, not P3-P7: half of the nuclei are less than 18 px long, which is two
# points of P3. Ranges as in the quick FCOS.
strides = [4, 8, 16, 32, 64]
regress_ranges = ((-1, 16), (16, 32), (32, 64), (64, 128), (128, 1e8))

# Begin with rays of two strides, which is what the ranges ask for.
ray_bias = 0.7  # = ln 2

model = dict(
    type='mmdet.SingleStageDetector',
    bbox_head=dict(
        type='PolarMaskHead',
        num_classes=1,
        in_channels=neck_channels,
        feat_channels=neck_channels,
        stacked_convs=2,  # P2 is large: four cost twice the time
        strides=strides,
        regress_ranges=regress_ranges,
        with_box_branch=False,
        stride_scaled=True,
        # Reference rays of objects below 24 px are empty.
        polar_coder=dict(
            type='PolarCoder', num_rays=num_rays, exact_rays=True),
        norm_cfg=dict(type='GN', num_groups=8),
        init_cfg=dict(
            type='Normal',
            layer='Conv2d',
            std=0.01,
            override=[
                dict(
                    type='Normal', name='conv_cls', std=0.01, bias_prob=0.01),
                dict(
                    type='Normal', name='conv_mask', std=0.01, bias=ray_bias),
            ]),
        bbox_coder=dict(type='mmdet.DistancePointBBoxCoder'),
        loss_cls=dict(
            type='mmdet.FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=1.0),
        loss_bbox=dict(type='mmdet.IoULoss', loss_weight=1.0),
        loss_mask=dict(type='PolarIoULoss', loss_weight=1.0),
        loss_centerness=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True,
            loss_weight=1.0)),
    test_cfg=dict(
        nms_pre=1000,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=100))
