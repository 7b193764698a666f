_base_ = ['../_base_/fcos_r50_fpn_2x_coco.py', '../_base_/mask_only_roi_coco.py']

model = dict(
    type='mmseghead.SingleStageMaskDetector',
    roi_head=_base_.mask_only_roi_head,
    train_cfg=dict(
        proposals=_base_.mask_only_proposals, roi=_base_.mask_only_train),
    test_cfg=dict(mask_thr_binary=0.5))
