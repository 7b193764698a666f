_base_ = ['../_base_/models/effseg_lite0_fpn.py', '../_base_/quick_shapes.py']

model = dict(
    roi_head=dict(bbox_head=dict(num_classes=_base_.num_classes)))
