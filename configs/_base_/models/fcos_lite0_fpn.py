# FCOS (arXiv:1904.01355) at a quarter of the usual width.
_base_ = './lite0_fpn.py'

neck_channels = _base_.neck_channels
head_norm = dict(type='GN', num_groups=8)
# P2-P6, not P3-P7: half of the nuclei are less than 18 px long, which is two
# points of P3.
strides = [4, 8, 16, 32, 64]
# A level takes objects of 8 to 16 times its stride, as in FCOS.
regress_ranges = ((-1, 32), (32, 64), (64, 128), (128, 256), (256, 1e8))

model = dict(
    type='mmdet.FCOS',
    bbox_head=dict(
        type='mmdet.FCOSHead',
        num_classes=1,
        in_channels=neck_channels,
        feat_channels=neck_channels,
        stacked_convs=2,  # P2 is large: four cost twice the time
        strides=strides,
        regress_ranges=regress_ranges,
        norm_on_bbox=True,  # exp() makes the first steps wild
        centerness_on_reg=True,
        norm_cfg=head_norm,
        bbox_coder=dict(type='mmdet.DistancePointBBoxCoder'),
        loss_cls=dict(
            type='mmdet.FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=1.0),
        loss_bbox=dict(type='mmdet.GIoULoss', loss_weight=1.0),
        loss_centerness=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True,
            loss_weight=1.0)),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=100))
