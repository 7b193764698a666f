# The reference's recipe for 16 images a step: its "4 GPU 1x".
_base_ = [
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    '../_base_/coco_checked.py'
]

image_size = (1280, 768)  # w, h, pixels, whatever the image's aspect
num_rays = 36

model = dict(
    type='SingleStageDetector',
    data_preprocessor=dict(pad_mask=True),
    bbox_head=dict(
        type='mmseghead.PolarMaskHead',
        polar_coder=dict(type='mmseghead.PolarCoder', num_rays=num_rays),
        norm_cfg=dict(type='GN', num_groups=32, requires_grad=True),
        loss_mask=dict(type='mmseghead.PolarIoULoss', loss_weight=1.0)))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='mmseghead.FilterSmallInstances', min_area=15, min_side=10),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmseghead.GeneratePolarContours'),
    dict(type='mmseghead.PackPolarInputs')
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=image_size, keep_ratio=False),
    # After Resize: ground truth stays in the original image's pixels.
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]
train_dataloader = dict(
    dataset=dict(type='mmseghead.InstanceDataset', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(type='mmseghead.InstanceDataset', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmseghead.CocoMetric', metric=['bbox', 'segm'])
test_evaluator = val_evaluator

custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
param_scheduler = [
    dict(
        type='LinearLR', start_factor=1.0 / 3, by_epoch=False, begin=0,
        end=500),
    dict(
        type='MultiStepLR',
        begin=0,
        end=12,
        by_epoch=True,
        milestones=[8, 11],
        gamma=0.1)
]
