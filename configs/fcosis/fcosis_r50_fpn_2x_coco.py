_base_ = '../_base_/fcos_r50_fpn_2x_coco.py'

num_classes = 80
model = dict(
    type='SingleStageInstanceSegmentor',
    # P2-P7: boxes are found on P3-P7, masks on P2-P4.
    neck=dict(start_level=0, num_outs=6),
    bbox_head=dict(type='mmseghead.FCOSISHead', start_level=1),
    mask_head=dict(type='mmseghead.FCOSISMaskHead', num_classes=num_classes),
    test_cfg=dict(mask_thr_binary=0.5))
