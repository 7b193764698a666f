# What PointINS (arXiv:2003.06148) adds to mmdet's detectors on COCO. All
# numbers but those of the instance-aware convolution are the branch's own
# defaults, written down because the ablations change them.
_base_ = './coco_checked.py'

mask_branch = dict(
    type='mmseghead.PointINSMaskBranch',
    feat_channels=256,
    num_convs=4,
    norm_cfg=dict(type='GN', num_groups=32, requires_grad=True),
    instance_conv=dict(
        type='mmseghead.InstanceAwareConv',
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
    max_positives=128)

# The detectors' data sets have no masks.
mask_image_size = (1333, 800)  # w, h, pixels
mask_load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True)
]
mask_flip_and_pack = [
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs')
]
mask_train_loader = dict(
    dataset=dict(
        type='mmseghead.InstanceDataset',
        pipeline=[
            *mask_load,
            dict(type='Resize', scale=mask_image_size, keep_ratio=True),
            *mask_flip_and_pack
        ]))
mask_test_loader = dict(
    dataset=dict(
        type='mmseghead.InstanceDataset',
        pipeline=[
            mask_load[0],
            dict(type='Resize', scale=mask_image_size, keep_ratio=True),
            # After Resize: ground truth stays in the original's pixels.
            mask_load[1],
            dict(
                type='PackDetInputs',
                meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                           'scale_factor'))
        ]))
mask_evaluator = dict(
    type='mmseghead.CocoMetric', metric=['bbox', 'segm'])

# The 3x schedule: shorter sides from 640 to 800 px.
ms_train_loader = dict(
    dataset=dict(
        type='mmseghead.InstanceDataset',
        pipeline=[
            *mask_load,
            dict(
                type='RandomResize',
                scale=[(1333, 640), mask_image_size],
                keep_ratio=True),
            *mask_flip_and_pack
        ]))
ms_epochs = 36
ms_milestones = dict(
    type='MultiStepLR',
    begin=0,
    end=ms_epochs,
    by_epoch=True,
    milestones=[28, 34],
    gamma=0.1)
