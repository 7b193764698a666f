_base_ = ['../_base_/models/refinemask_lite0_fpn.py', '../_base_/quick_shapes.py']

num_classes = _base_.num_classes
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=num_classes),
        mask_head=dict(num_classes=num_classes)))
