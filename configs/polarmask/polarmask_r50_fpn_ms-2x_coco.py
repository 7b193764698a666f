# The reference's "32 GPU 2x ms": 32 images a step, four on each of 8 GPUs.
# Every image becomes 1333 pixels wide and 640 to 800 high.
_base_ = './polarmask_r50_fpn_1x_coco.py'

short_sides = (640, 800)  # pixels, any length between them
long_side = 1333
max_epochs = 26

train_pipeline = [
    *_base_.train_pipeline[:3],
    dict(
        type='RandomResize',
        scale=[(long_side, side) for side in short_sides],
        keep_ratio=False), *_base_.train_pipeline[4:]
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=(long_side, max(short_sides)), keep_ratio=False),
    *_base_.test_pipeline[2:]
]
model = dict(data_preprocessor=dict(pad_size_divisor=128))
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(
        type='LinearLR', start_factor=1.0 / 6, by_epoch=False, begin=0,
        end=2000),
    dict(
        type='MultiStepLR',
        begin=0,
        end=max_epochs,
        by_epoch=True,
        milestones=[18, 24],
        gamma=0.1)
]
optim_wrapper = dict(optimizer=dict(lr=0.02))
auto_scale_lr = dict(base_batch_size=32)
