# Table 5, "Conv": one 3x3 convolution in place of three dilated ones.
_base_ = './effseg_r50_fpn_1x_coco.py'

model = dict(roi_head=dict(mask_head=dict(process='conv')))
