# No numbers on COCO were ever published for this method. ResNet-50 and a
# pyramid, as the other methods have; ERFNet has no published weights.
_base_ = [
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py', '../_base_/coco_checked.py'
]

model = dict(
    type='SingleStageInstanceSegmentor',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32),
    backbone=dict(
        type='ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=dict(
            type='Pretrained', checkpoint='torchvision://resnet50')),
    neck=dict(
        type='FPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=256,
        num_outs=4),
    bbox_head=None,
    mask_head=dict(
        type='mmseghead.SpatialEmbeddingHead',
        num_classes=80,
        num_sigma=2,
        decoder=dict(
            type='mmseghead.PyramidDecoder',
            in_channels=256,
            strides=[4, 8, 16, 32],
            channels=128),
        loss_embedding=dict(
            type='mmseghead.SpatialEmbeddingLoss', to_center=False),
        # Crowds have no owner a pixel could be clustered to.
        ignore_mode='ignore'),
    # Smaller objects and softer seeds than in 2 MP street scenes.
    test_cfg=dict(score_thr=0.5, min_pixels=32, max_per_img=100))

custom_hooks = _base_.checked_hooks
default_hooks = _base_.checked_default_hooks
train_dataloader = _base_.checked_loader
val_dataloader = _base_.checked_loader
test_dataloader = _base_.checked_loader
val_evaluator = _base_.checked_metric
test_evaluator = _base_.checked_metric

# Adaptive steps: the reference's optimiser.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=5e-4, weight_decay=1e-4),
    clip_grad=dict(max_norm=10., norm_type=2))
