_base_ = ['mmdet::mask_rcnn/mask-rcnn_r101_fpn_2x_coco.py', '../_base_/coco_checked.py']

custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
train_dataloader = _base_.checked_loader
val_dataloader = _base_.checked_loader
test_dataloader = _base_.checked_loader
val_evaluator = _base_.checked_metric
test_evaluator = _base_.checked_metric
