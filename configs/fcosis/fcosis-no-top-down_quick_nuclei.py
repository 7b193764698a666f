# Table 3a, baseline: a map per class, cut by box and class.
_base_ = './fcosis_quick_nuclei.py'

model = dict(
    mask_head=dict(attention=None, class_agnostic=False, with_aspp=True))
