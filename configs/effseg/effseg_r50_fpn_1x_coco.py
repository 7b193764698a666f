_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', '../_base_/effseg_coco.py']

model = dict(
    roi_head=dict(
        **_base_.effseg_roi_head,
        mask_head=dict(_delete_=True, **_base_.effseg_mask_head)))
optim_wrapper = dict(clip_grad=_base_.effseg_clip)
custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
train_dataloader = _base_.checked_loader
val_dataloader = _base_.checked_loader
test_dataloader = _base_.checked_loader
val_evaluator = _base_.checked_metric
test_evaluator = _base_.checked_metric
