_base_ = './pointins-retinanet_quick_shapes.py'

model = dict(bbox_head=dict(mask_branch=dict(instance_conv=dict(template_size=5))))
