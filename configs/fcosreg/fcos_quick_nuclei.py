# The baseline of FCOSreg: the same model without mask labels.
_base_ = './fcosreg_quick_nuclei.py'

model = dict(bbox_head=dict(type='mmdet.FCOSHead'))
