_base_ = './fcosreg_quick_shapes.py'

model = dict(bbox_head=dict(reg_weights=(0.0, 1.0, 0.0)))
