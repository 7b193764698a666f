# Table 5, "DeformConv": one deformable 3x3 convolution.
_base_ = './effseg_r50_fpn_1x_coco.py'

model = dict(roi_head=dict(mask_head=dict(process='deform')))
