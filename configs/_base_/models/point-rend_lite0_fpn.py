# PointRend (arXiv:1912.08193) on the quick Mask R-CNN.
_base_ = './mask-rcnn_lite0_fpn.py'

neck_channels = _base_.neck_channels
coarse_size = 7
subdivision_steps = 4  # 7 -> 112
mask_loss = dict(
    type='mmdet.CrossEntropyLoss', use_mask=True, loss_weight=1.0)

model = dict(
    type='mmdet.PointRend',
    roi_head=dict(
        type='PointRendRoIHead',
        mask_roi_extractor=dict(
            type='mmdet.GenericRoIExtractor',
            aggregation='concat',
            roi_layer=dict(
                _delete_=True, type='SimpleRoIAlign', output_size=14),
            featmap_strides=[4]),
        mask_head=dict(
            _delete_=True,
            type='CoarseMaskHead',
            num_fcs=2,
            in_channels=neck_channels,
            conv_out_channels=neck_channels,
            fc_out_channels=_base_.fc_channels,
            num_classes=1,
            loss_mask=mask_loss),
        point_head=dict(
            type='mmdet.MaskPointHead',
            num_fcs=3,
            in_channels=neck_channels,
            fc_channels=neck_channels,
            num_classes=1,
            coarse_pred_each_layer=True,
            loss_point=mask_loss)),
    train_cfg=dict(
        rcnn=dict(
            mask_size=coarse_size,
            num_points=14 * 14,
            oversample_ratio=3,
            importance_sample_ratio=0.75)),
    test_cfg=dict(
        rcnn=dict(
            subdivision_steps=subdivision_steps,
            subdivision_num_points=28 * 28,
            scale_factor=2)))
