# Deformable convolutions in the backbone's last three stages and the towers.
_base_ = './polarmask_r50_fpn_ms-2x_coco.py'

model = dict(
    backbone=dict(
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True)),
    bbox_head=dict(conv_cfg=dict(type='DCNv2', deform_groups=1)))
