# Spatial Embeddings on Cityscapes, first stage: crops around objects. The
# released code draws 3000 crops an epoch, about as many as there are images.
_base_ = [
    './datasets/cityscapes_instance.py', './models/spatial-embedding_erfnet.py',
    './default_runtime.py'
]

crop_size = (512, 512)  # w, h, pixels; 500 x 500 in the paper
max_epochs = 200
batch_size = 16
lr = 5e-4

model = dict(mask_head=dict(num_classes=_base_.num_classes))

train_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='CropAroundObject', crop_size=crop_size),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs')
]
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=8,
    drop_last=True,
    batch_sampler=None,
    dataset=dict(
        _delete_=True,
        type=_base_.dataset_type,
        data_root=_base_.data_root,
        metainfo=_base_.metainfo,
        ann_file=_base_.train_ann,
        data_prefix=dict(img='leftImg8bit/train/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline))

train_cfg = dict(
    type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=20)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=lr, weight_decay=1e-4))
# Once an epoch: lr * (1 - epoch / max_epochs) ** 0.9.
param_scheduler = dict(
    type='PolyLR', power=0.9, eta_min=0, by_epoch=True, begin=0,
    end=max_epochs)
default_hooks = dict(
    checkpoint=dict(type='CheckpointHook', interval=10, max_keep_ckpts=3))
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)
