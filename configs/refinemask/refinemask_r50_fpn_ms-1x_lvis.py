# The evaluator needs the package `lvis`.
_base_ = [
    'mmdet::lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py',
    '../_base_/refinemask_coco.py'
]

model = dict(
    roi_head=dict(
        type=_base_.refinemask_roi_head.type,
        bbox_head=_base_.refinemask_roi_head.bbox_head,
        mask_head=dict(
            _delete_=True, **{
                **_base_.refinemask_mask_head, 'num_classes': 1203,
                # One finest mask for all classes.
                'agnostic_stages': (3, )
            })))
optim_wrapper = dict(clip_grad=_base_.refinemask_clip)
custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
checked_dataset = 'mmseghead.LVISInstanceDataset'
train_dataloader = dict(dataset=dict(dataset=dict(type=checked_dataset)))
val_dataloader = dict(dataset=dict(type=checked_dataset))
test_dataloader = val_dataloader
