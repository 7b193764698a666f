# Table 5, "Dense SFM": every cell of every stage, with dense kernels.
_base_ = './effseg_r50_fpn_1x_coco.py'

model = dict(
    roi_head=dict(mask_head=dict(process='dense_sfm', num_refine=None)))
