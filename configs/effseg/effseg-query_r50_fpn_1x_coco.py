# With real queries: one EffSeg head on the last stage of QueryInst in place
# of its six dynamic mask heads.
_base_ = ['mmdet::queryinst/queryinst_r50_fpn_1x_coco.py', '../_base_/effseg_coco.py']

model = dict(
    roi_head=dict(
        type='mmseghead.EffSegQueryRoIHead',
        mask_roi_extractor=dict(roi_layer=dict(sampling_ratio=0)),
        mask_head=dict(
            _delete_=True,
            **{
                **_base_.effseg_mask_head, 'inst_feat_channels': 256
            })))
custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
train_dataloader = _base_.checked_loader
val_dataloader = _base_.checked_loader
test_dataloader = _base_.checked_loader
val_evaluator = _base_.checked_metric
test_evaluator = _base_.checked_metric
