# RetinaMask (arXiv:1901.03353): RetinaNet with a RoI mask head.
_base_ = ['./retinanet_lite0_fpn.py', './mask_only_roi.py']

model = dict(
    type='SingleStageMaskDetector',
    roi_head=_base_.mask_only_roi_head,
    train_cfg=dict(
        proposals=_base_.mask_only_proposals, roi=_base_.mask_only_train),
    test_cfg=dict(mask_thr_binary=0.5))
