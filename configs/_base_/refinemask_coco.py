# RefineMask (arXiv:2104.08569) at the paper's size, on mmdet's Mask R-CNN.
# Most numbers are the heads' own defaults, written down because variants
# change them.
_base_ = './coco_checked.py'

refinemask_mask_head = dict(
    type='mmseghead.RefineMaskHead',
    num_classes=80,
    in_channels=256,
    feat_channels=256,
    num_instance_convs=2,
    num_semantic_convs=4,
    semantic_channels=256,
    agnostic_stages=(),
    roi_size=14,
    semantic_stride=4,
    start_stage=1,
    fuse_width=1,
    loss_mask=dict(
        type='mmseghead.BoundaryRefinementLoss',
        stage_weights=(0.25, 0.5, 0.75, 1.0),
        boundary_width=2))
refinemask_roi_head = dict(
    type='mmseghead.RefineMaskRoIHead',
    # The box losses weigh twice as much as in Mask R-CNN.
    bbox_head=dict(
        loss_cls=dict(loss_weight=2.0), loss_bbox=dict(loss_weight=2.0)),
    mask_head=dict(_delete_=True, **refinemask_mask_head))
refinemask_clip = dict(max_norm=35, norm_type=2)
# As in the source: polygons are kept, and drawn anew in each box.
refinemask_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='LoadAnnotations',
        with_bbox=True,
        with_mask=True,
        poly2mask=False),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
refinemask_loader = dict(
    dataset=dict(
        type='mmseghead.InstanceDataset', pipeline=refinemask_pipeline))
