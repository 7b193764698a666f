# PointINS's mask branch (arXiv:2003.06148) at a quarter of the usual width.
mask_branch = dict(
    type='PointINSMaskBranch',
    feat_channels=64,
    num_convs=2,
    norm_cfg=dict(type='GN', num_groups=8),
    instance_conv=dict(
        type='InstanceAwareConv',
        template_size=7,
        template_channels=16,
        out_channels=64,
        kernel_size=1,
        hidden_channels=256,
        use_geometry=True,
        dynamic=True),
    predictor_channels=64,
    class_agnostic=True,
    mask_box='mixed',
    mixed_iou=0.5,
    max_positives=128,
    loss_mask=dict(
        type='mmdet.CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0))
