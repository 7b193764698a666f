_base_ = [
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    '../_base_/pointins_coco.py'
]

model = dict(
    data_preprocessor=dict(pad_mask=True),
    bbox_head=dict(
        type='mmseghead.PointINSFCOSHead', mask_branch=_base_.mask_branch),
    test_cfg=dict(mask_thr_binary=0.5))
custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
train_dataloader = _base_.mask_train_loader
val_dataloader = _base_.mask_test_loader
test_dataloader = val_dataloader
val_evaluator = _base_.mask_evaluator
test_evaluator = val_evaluator
