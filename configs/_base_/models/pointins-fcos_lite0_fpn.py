# PointINS (arXiv:2003.06148) on the quick FCOS.
_base_ = ['./fcos_lite0_fpn.py', './pointins_lite0_branch.py']

model = dict(
    bbox_head=dict(type='PointINSFCOSHead', mask_branch=_base_.mask_branch),
    test_cfg=dict(mask_thr_binary=0.5))
