# RetinaNet (arXiv:1708.02002) at a quarter of the usual width.
_base_ = './lite0_fpn.py'

neck_channels = _base_.neck_channels
head_norm = dict(type='GN', num_groups=8)  # few steps: not without a norm

model = dict(
    type='mmdet.RetinaNet',
    bbox_head=dict(
        type='mmdet.RetinaHead',
        num_classes=1,
        in_channels=neck_channels,
        feat_channels=neck_channels,
        stacked_convs=2,  # P2 is large: four cost twice the time
        norm_cfg=head_norm,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            # 12 to 192 px: nuclei measure 5 to 66 px, shapes 7 to 164. Three
            # sizes a level triple what has to be learned in 360 steps.
            octave_base_scale=3,
            scales_per_octave=1,
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(
            type='mmdet.DeltaXYWHBBoxCoder',
            target_means=[.0, .0, .0, .0],
            target_stds=[1.0, 1.0, 1.0, 1.0]),
        loss_cls=dict(
            type='mmdet.FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=1.0),
        loss_bbox=dict(type='mmdet.L1Loss', loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.MaxIoUAssigner',
            iou_calculator=dict(type='mmdet.BboxOverlaps2D'),
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0,
            ignore_iof_thr=-1),
        sampler=dict(type='mmdet.PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        nms=dict(type='nms', iou_threshold=0.5),
        max_per_img=100))
