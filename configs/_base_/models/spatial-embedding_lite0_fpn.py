# Spatial Embeddings (arXiv:1906.11109) on the quick models' backbone.
_base_ = './lite0_fpn.py'

neck_channels = _base_.neck_channels

model = dict(
    type='mmdet.SingleStageInstanceSegmentor',
    # From stride 2 on: seeds and borders need fine maps.
    backbone=dict(out_indices=(0, 1, 2, 4, 6)),
    neck=dict(in_channels=[16, 24, 40, 112, 320]),
    bbox_head=None,
    mask_head=dict(
        type='SpatialEmbeddingHead',
        num_classes=1,
        num_sigma=2,
        decoder=dict(
            type='PyramidDecoder',
            in_channels=neck_channels,
            strides=[2, 4, 8, 16, 32],
            channels=32),
        loss_embedding=dict(type='SpatialEmbeddingLoss', to_center=False)),
    test_cfg=dict(
        # The reference's 0.9 and 0.5 are for 200 epochs of training, its 128
        # pixels for street scenes of 2 MP.
        score_thr=0.4,
        foreground_thr=0.3,
        min_pixels=12,
        max_per_img=500))
