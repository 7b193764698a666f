_base_ = './pointins-retinanet_r50_fpn_1x_coco.py'

model = dict(bbox_head=dict(mask_branch=dict(instance_conv=dict(template_channels=8))))
