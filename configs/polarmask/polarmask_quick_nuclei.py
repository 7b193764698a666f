_base_ = ['../_base_/models/polarmask_lite0_fpn.py', '../_base_/quick_nuclei.py']

num_classes = _base_.num_classes
model = dict(bbox_head=dict(num_classes=num_classes))
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='GeneratePolarContours'),
    dict(type='PackPolarInputs')
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
