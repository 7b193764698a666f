# FCOS on COCO with masks loaded, and the schedule of the FCOSIS paper
# (section 4): 24 epochs at 0.01, a tenth from epochs 14 and 21.
_base_ = [
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py', './coco_checked.py'
]

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    *_base_.train_pipeline[2:]
]
test_pipeline = [
    *_base_.test_pipeline[:2],
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    *_base_.test_pipeline[3:]
]
custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
train_dataloader = dict(
    dataset=dict(type='mmseghead.InstanceDataset', pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(type='mmseghead.InstanceDataset', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='mmseghead.CocoMetric', metric=['bbox', 'segm'])
test_evaluator = val_evaluator

# Masks are padded with the images.
model = dict(data_preprocessor=dict(pad_mask=True))

max_epochs = 24
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='ConstantLR', factor=1.0 / 3, by_epoch=False, begin=0, end=500),
    dict(
        type='MultiStepLR',
        begin=0,
        end=max_epochs,
        by_epoch=True,
        milestones=[14, 21],
        gamma=0.1)
]
