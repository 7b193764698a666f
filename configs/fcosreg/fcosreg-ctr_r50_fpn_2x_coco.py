_base_ = './fcosreg_r50_fpn_2x_coco.py'

model = dict(bbox_head=dict(reg_weights=(1.0, 0.0, 0.0)))
