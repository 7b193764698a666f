# Table 3a, baseline: a map per class, cut by box and class.
_base_ = './fcosis_r50_fpn_2x_coco.py'

model = dict(
    mask_head=dict(attention=None, class_agnostic=False, with_aspp=True))
