# Not in the paper: rays that meet the contour however small an object is.
_base_ = './polarmask_r50_fpn_1x_coco.py'

model = dict(bbox_head=dict(polar_coder=dict(exact_rays=True)))
