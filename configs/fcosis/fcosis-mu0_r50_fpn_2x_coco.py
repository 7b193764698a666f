# Table 3b: background and other objects in the box get no attention.
_base_ = './fcosis_r50_fpn_2x_coco.py'

model = dict(
    mask_head=dict(
        attention=dict(type='mmseghead.AttentionMap', learn_mu=False)))
