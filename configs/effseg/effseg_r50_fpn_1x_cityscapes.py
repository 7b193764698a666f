_base_ = [
    'mmdet::cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py',
    '../_base_/effseg_coco.py'
]

model = dict(
    # mmdet starts from a whole Mask R-CNN of COCO; for that give `load_from`.
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='torchvision://resnet50')),
    roi_head=dict(
        **_base_.effseg_roi_head,
        mask_head=dict(_delete_=True, **_base_.effseg_mask_head)))
load_from = None
optim_wrapper = dict(clip_grad=_base_.effseg_clip)
custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
checked_dataset = 'mmseghead.CityscapesInstanceDataset'
train_dataloader = dict(dataset=dict(dataset=dict(type=checked_dataset)))
val_dataloader = dict(dataset=dict(type=checked_dataset))
test_dataloader = val_dataloader
# mmdet's list also holds Cityscapes' own metric, which needs the package
# `cityscapesscripts`.
val_evaluator = dict(
    _delete_=True,
    type='mmseghead.CocoMetric',
    ann_file='data/cityscapes/annotations/'
    'instancesonly_filtered_gtFine_val.json',
    metric=['bbox', 'segm'])
test_evaluator = val_evaluator
