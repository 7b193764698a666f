# Spatial Embeddings (arXiv:1906.11109) on ERFNet, as published.
model = dict(
    type='mmdet.SingleStageInstanceSegmentor',
    # RGB divided by 255, no mean and no deviation.
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[0., 0., 0.],
        std=[255., 255., 255.],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=8),
    backbone=dict(type='ERFNet'),
    neck=None,
    bbox_head=None,
    mask_head=dict(
        type='SpatialEmbeddingHead',
        num_classes=1,
        num_sigma=2,
        decoder=dict(type='ERFNetDecoder'),
        loss_embedding=dict(
            type='SpatialEmbeddingLoss',
            to_center=False,
            inst_weight=1.,
            var_weight=10.,
            seed_weight=1.,
            fg_weight=10.)),
    test_cfg=dict(
        score_thr=0.9,
        foreground_thr=0.5,
        phi_thr=0.5,
        min_pixels=128,
        min_new=0.5))
