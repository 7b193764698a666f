# LVIS v1 on the images of COCO 2017: docs/data.md
dataset_type = 'LVISInstanceDataset'
data_root = 'data/lvis_v1/'
# The names are those of LVISInstanceDataset: too many to list here.
num_classes = 1203
train_ann = 'annotations/lvis_v1_train.json'
val_ann = 'annotations/lvis_v1_val.json'
# w, h, pixels; training draws one of the shorter sides per image.
image_size = (1333, 800)
train_sizes = [(1333, 640), (1333, 672), (1333, 704), (1333, 736),
               (1333, 768), image_size]

train_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='mmdet.RandomChoiceResize', scales=train_sizes, keep_ratio=True),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(type='mmdet.PackDetInputs')
]
test_pipeline = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.Resize', scale=image_size, keep_ratio=True),
    # After Resize: ground truth stays in the original image's pixels.
    dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape',
                   'scale_factor'))
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='mmdet.AspectRatioBatchSampler'),
    dataset=dict(
        type='mmdet.ClassBalancedDataset',
        oversample_thr=1e-3,
        dataset=dict(
            type=dataset_type,
            data_root=data_root,
            ann_file=train_ann,
            data_prefix=dict(img=''),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
            pipeline=train_pipeline)))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file=val_ann,
        data_prefix=dict(img=''),
        test_mode=True,
        pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(
    # Needs the package `lvis`.
    type='mmdet.LVISMetric',
    ann_file=data_root + val_ann,
    metric=['bbox', 'segm'])
test_evaluator = val_evaluator
