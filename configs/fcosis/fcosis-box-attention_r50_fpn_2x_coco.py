# Table 3c: attention all over the box.
_base_ = './fcosis_r50_fpn_2x_coco.py'

model = dict(
    mask_head=dict(attention=dict(type='mmseghead.AttentionMap', mode='box')))
