# Second stage: large crops from anywhere, so that the seed maps see
# background. Two images are too few for batch statistics: they are frozen.
# The leaf sets `load_from` to the first stage's checkpoint.
_base_ = './spatial-embedding_cityscapes_stage1.py'

crop_size = (1024, 1024)
max_epochs = 50
batch_size = 2
lr = 5e-5

model = dict(
    backbone=dict(norm_eval=True),
    mask_head=dict(decoder=dict(norm_eval=True)))

train_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='CropAroundObject', crop_size=crop_size, prob=0.),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs')
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=4,
    dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=max_epochs, val_interval=10)
optim_wrapper = dict(optimizer=dict(lr=lr))
param_scheduler = dict(end=max_epochs)
auto_scale_lr = dict(base_batch_size=batch_size)
