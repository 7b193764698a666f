_base_ = [
    '../_base_/models/pointins-fcos_lite0_fpn.py', '../_base_/quick_shapes.py'
]

num_classes = _base_.num_classes
model = dict(bbox_head=dict(num_classes=num_classes))
