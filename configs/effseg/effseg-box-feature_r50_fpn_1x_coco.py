# With instance features: the last feature of the box head, pooled anew from
# the boxes that are segmented.
_base_ = './effseg_r50_fpn_1x_coco.py'

model = dict(roi_head=dict(mask_head=dict(inst_feat_channels=1024)))
