_base_ = [
    '../_base_/models/spatial-embedding_lite0_fpn.py',
    '../_base_/quick_shapes.py'
]

model = dict(mask_head=dict(num_classes=_base_.num_classes))
