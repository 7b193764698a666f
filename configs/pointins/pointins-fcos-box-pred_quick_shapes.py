_base_ = './pointins-fcos_quick_shapes.py'

model = dict(bbox_head=dict(mask_branch=dict(mask_box='pred')))
