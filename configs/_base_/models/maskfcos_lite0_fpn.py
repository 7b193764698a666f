# MaskFCOS (FCOSIS, section 4): FCOS with a RoI mask head.
_base_ = './fcos_lite0_fpn.py'

neck_channels = _base_.neck_channels

model = dict(
    type='SingleStageMaskDetector',
    roi_head=dict(
        type='MaskOnlyRoIHead',
        mask_roi_extractor=dict(
            type='mmdet.SingleRoIExtractor',
            roi_layer=dict(
                type='RoIAlign', output_size=14, sampling_ratio=2),
            out_channels=neck_channels,
            # The paper's rule, two levels finer: sides from 56 px on P3,
            # from 112 px on P4.
            finest_scale=28,
            featmap_strides=[4, 8, 16]),
        mask_head=dict(
            type='mmdet.FCNMaskHead',
            num_convs=4,
            in_channels=neck_channels,
            conv_out_channels=neck_channels,
            num_classes=1,
            loss_mask=dict(
                type='mmdet.CrossEntropyLoss', use_mask=True,
                loss_weight=1.0))),
    train_cfg=dict(
        proposals=dict(
            nms_pre=1000,
            min_bbox_size=0,
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=100),
        roi=dict(
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
            mask_size=28)),
    test_cfg=dict(mask_thr_binary=0.5))
