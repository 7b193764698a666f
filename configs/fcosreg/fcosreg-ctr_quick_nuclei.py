_base_ = './fcosreg_quick_nuclei.py'

model = dict(bbox_head=dict(reg_weights=(1.0, 0.0, 0.0)))
