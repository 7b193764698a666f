# The quick recipe: every method sees the same 1440 images, five to ten
# minutes of Mask R-CNN on two CPU cores.
_base_ = '../default_runtime.py'

base_batch_size = 4  # images per step; the data sets say the same
max_iters = 360
lr = 1e-3
warmup_iters = 20

train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=lr, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.,
        bias_decay_mult=0.,
        # At the full rate the first steps undo the pretraining: heads that
        # read single locations then hardly learn classes in 360 steps.
        custom_keys=dict(backbone=dict(lr_mult=0.1))),
    clip_grad=dict(max_norm=10., norm_type=2))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.01,
        by_epoch=False,
        begin=0,
        end=warmup_iters),
    dict(
        type='CosineAnnealingLR',
        eta_min_ratio=0.02,
        by_epoch=False,
        begin=warmup_iters,
        end=max_iters),
]
default_hooks = dict(
    checkpoint=dict(
        type='AtomicCheckpointHook',
        by_epoch=False,
        interval=90,
        max_keep_ckpts=2),
    logger=dict(type='LoggerHook', interval=20))
log_processor = dict(type='LogProcessor', by_epoch=False, window_size=20)

auto_scale_lr = dict(enable=False, base_batch_size=base_batch_size)
