# The mask head of MaskFCOS and RetinaMask: what it reads, learns and where.
roi_channels = 64  # those of lite0_fpn.py

mask_only_roi_head = dict(
    type='MaskOnlyRoIHead',
    mask_roi_extractor=dict(
        type='mmdet.SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=2),
        out_channels=roi_channels,
        # The papers' rule, two levels finer: sides from 56 px on P3, from
        # 112 px on P4.
        finest_scale=28,
        featmap_strides=[4, 8, 16]),
    mask_head=dict(
        type='FCNMaskHead',
        num_convs=4,
        in_channels=roi_channels,
        conv_out_channels=roi_channels,
        num_classes=1,
        loss_mask=dict(
            type='mmdet.CrossEntropyLoss', use_mask=True, loss_weight=1.0)))
mask_only_proposals = dict(
    nms_pre=1000,
    min_bbox_size=0,
    score_thr=0.05,
    nms=dict(type='nms', iou_threshold=0.5),
    max_per_img=100)
mask_only_train = dict(
    assigner=dict(
        type='mmdet.MaxIoUAssigner',
        iou_calculator=dict(type='mmdet.BboxOverlaps2D'),
        pos_iou_thr=0.5,
        neg_iou_thr=0.5,
        min_pos_iou=0.5,
        match_low_quality=False,
        ignore_iof_thr=-1),
    # Positives only, ground truth among them.
    sampler=dict(
        type='mmdet.RandomSampler',
        num=100,
        pos_fraction=1.0,
        neg_pos_ub=0,
        add_gt_as_proposals=True),
    mask_size=28)
