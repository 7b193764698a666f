_base_ = [
    'mmdet::cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py',
    '../_base_/refinemask_coco.py'
]

model = dict(
    # mmdet starts from a whole Mask R-CNN of COCO; for that give `load_from`.
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='torchvision://resnet50')),
    roi_head=dict(
        type=_base_.refinemask_roi_head.type,
        bbox_head=_base_.refinemask_roi_head.bbox_head,
        mask_head=dict(
            _delete_=True, **{
                **_base_.refinemask_mask_head, 'num_classes': 8
            })))
load_from = None
optim_wrapper = dict(clip_grad=_base_.refinemask_clip)
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
