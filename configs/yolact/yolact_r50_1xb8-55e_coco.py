_base_ = ['mmdet::yolact/yolact_r50_1xb8-55e_coco.py', '../_base_/coco_checked.py']

# As mmdet's, in bounded memory.
model = dict(mask_head=dict(type='mmseghead.YOLACTProtonet'))
# The first hook is the upstream config's own.
custom_hooks = [*_base_.custom_hooks, *_base_.checked_hooks]
default_hooks = _base_.checked_default_hooks
train_dataloader = _base_.checked_loader
val_dataloader = _base_.checked_loader
test_dataloader = _base_.checked_loader
val_evaluator = _base_.checked_metric
test_evaluator = _base_.checked_metric
