_base_ = [
    'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py',
    '../_base_/coco_checked.py', '../_base_/mask_only_roi_coco.py'
]

model = dict(
    type='mmseghead.SingleStageMaskDetector',
    data_preprocessor=dict(pad_mask=True),
    roi_head=_base_.mask_only_roi_head,
    train_cfg=dict(
        proposals=_base_.mask_only_proposals, roi=_base_.mask_only_train),
    test_cfg=dict(mask_thr_binary=0.5))

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
