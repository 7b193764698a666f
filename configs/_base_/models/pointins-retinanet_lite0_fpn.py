# PointINS (arXiv:2003.06148) on the quick RetinaNet.
_base_ = ['./retinanet_lite0_fpn.py', './pointins_lite0_branch.py']

model = dict(
    bbox_head=dict(type='PointINSRetinaHead', mask_branch=_base_.mask_branch),
    test_cfg=dict(mask_thr_binary=0.5))
