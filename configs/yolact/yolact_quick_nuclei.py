_base_ = ['../_base_/models/yolact_lite0_fpn.py', '../_base_/quick_nuclei.py']

num_classes = _base_.num_classes
model = dict(
    bbox_head=dict(num_classes=num_classes),
    mask_head=dict(num_classes=num_classes))

# mmdet's YOLACT head needs the images of a batch to be of one size.
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='mmdet.Pad', size=_base_.image_size),
    _base_.train_pipeline[-1],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
