# The mask head of MaskFCOS and RetinaMask at the papers' size.
num_classes = 80
mask_channels = 256

mask_only_roi_head = dict(
    type='mmseghead.MaskOnlyRoIHead',
    mask_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        out_channels=mask_channels,
        # floor(4 + log2(sqrt(wh) / 224)) on P3-P5: sides below 224 px go to
        # P3, those from 448 px to P5 (FCOSIS, equation 4).
        finest_scale=112,
        featmap_strides=[8, 16, 32]),
    mask_head=dict(
        type='mmseghead.FCNMaskHead',
        num_convs=4,
        in_channels=mask_channels,
        conv_out_channels=mask_channels,
        num_classes=num_classes,
        loss_mask=dict(
            type='CrossEntropyLoss', use_mask=True, loss_weight=1.0)))
mask_only_proposals = dict(
    nms_pre=1000,
    min_bbox_size=0,
    score_thr=0.05,
    nms=dict(type='nms', iou_threshold=0.5),
    max_per_img=100)
mask_only_train = dict(
    assigner=dict(
        type='MaxIoUAssigner',
        pos_iou_thr=0.5,
        neg_iou_thr=0.5,
        min_pos_iou=0.5,
        match_low_quality=False,
        ignore_iof_thr=-1),
    # Positives only, ground truth among them.
    sampler=dict(
        type='RandomSampler',
        num=100,
        pos_fraction=1.0,
        neg_pos_ub=0,
        add_gt_as_proposals=True),
    mask_size=28)
