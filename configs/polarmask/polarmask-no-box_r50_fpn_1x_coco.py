# Without a box branch NMS compares the boxes around the contours.
_base_ = './polarmask_r50_fpn_1x_coco.py'

model = dict(bbox_head=dict(with_box_branch=False))
