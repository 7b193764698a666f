# YOLACT (arXiv:1904.02689) at a quarter of the usual width.
_base_ = './lite0_fpn.py'

neck_channels = _base_.neck_channels
num_protos = 32
strides = [4, 8, 16, 32, 64]

model = dict(
    type='mmdet.YOLACT',
    bbox_head=dict(
        type='mmdet.YOLACTHead',
        num_classes=1,
        in_channels=neck_channels,
        feat_channels=neck_channels,
        anchor_generator=dict(
            type='mmdet.AnchorGenerator',
            octave_base_scale=3,  # 12 to 192 px
            scales_per_octave=1,
            base_sizes=strides,
            ratios=[0.5, 1.0, 2.0],
            strides=strides),
        bbox_coder=dict(
            type='mmdet.DeltaXYWHBBoxCoder',
            target_means=[.0, .0, .0, .0],
            target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(
            type='mmdet.CrossEntropyLoss',
            use_sigmoid=False,
            reduction='none',
            loss_weight=1.0),
        loss_bbox=dict(type='mmdet.SmoothL1Loss', beta=1.0, loss_weight=1.5),
        num_head_convs=1,
        num_protos=num_protos,
        use_ohem=True),
    mask_head=dict(
        type='YOLACTProtonet',
        in_channels=neck_channels,
        # Prototypes on strides of 4 as in the paper; its first level is P3,
        # which it doubles after three layers, ours P2.
        proto_channels=(neck_channels, ) * 4 + (num_protos, ),
        proto_kernel_sizes=(3, 3, 3, 3, 1),
        num_protos=num_protos,
        num_classes=1,
        max_masks_to_train=100,
        loss_mask_weight=6.125,
        with_seg_branch=True,
        loss_segm=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True,
            loss_weight=1.0)),
    train_cfg=dict(
        assigner=dict(
            type='mmdet.MaxIoUAssigner',
            iou_calculator=dict(type='mmdet.BboxOverlaps2D'),
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0.,
            ignore_iof_thr=-1,
            gt_max_assign_all=False),
        sampler=dict(type='mmdet.PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        neg_pos_ratio=3,
        debug=False),
    test_cfg=dict(
        nms_pre=1000,
        min_bbox_size=0,
        score_thr=0.05,
        mask_thr=0.5,
        iou_thr=0.5,
        top_k=200,
        max_per_img=100,
        mask_thr_binary=0.5))
