# SOLOv2 (arXiv:2003.10152) at a quarter of the usual width.
_base_ = './solo_lite0_fpn.py'

neck_channels = _base_.neck_channels

model = dict(
    type='mmdet.SOLOv2',
    mask_head=dict(
        type='SOLOV2Head',
        mask_feature_head=dict(
            feat_channels=neck_channels,
            start_level=0,
            end_level=3,
            out_channels=neck_channels,
            mask_stride=4,
            norm_cfg=_base_.norm_cfg)))
