_base_ = './polarmask_r50_fpn_1x_coco.py'

model = dict(bbox_head=dict(polar_coder=dict(num_rays=18)))
