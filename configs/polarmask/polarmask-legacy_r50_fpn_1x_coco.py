# The arithmetic of the reference, for its weights and for comparison.
_base_ = './polarmask_r50_fpn_1x_coco.py'

model = dict(bbox_head=dict(legacy_v1=True))
train_pipeline = [
    *_base_.train_pipeline[:-2],
    dict(type='mmseghead.GeneratePolarContours', legacy_v1=True),
    _base_.train_pipeline[-1]
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
