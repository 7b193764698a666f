# Table 5, "MLP": no cell sees another one.
_base_ = './effseg_r50_fpn_1x_coco.py'

model = dict(roi_head=dict(mask_head=dict(process='mlp')))
