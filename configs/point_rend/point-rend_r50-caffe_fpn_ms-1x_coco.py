_base_ = ['mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py', '../_base_/coco_checked.py']

# mmdet's fails on a batch without objects, and its masks know no bounds.
model = dict(
    roi_head=dict(
        type='mmseghead.PointRendRoIHead',
        mask_head=dict(type='mmseghead.CoarseMaskHead')))
custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
train_dataloader = _base_.checked_loader
val_dataloader = _base_.checked_loader
test_dataloader = _base_.checked_loader
val_evaluator = _base_.checked_metric
test_evaluator = _base_.checked_metric
