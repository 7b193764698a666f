# The later variant: no semantic supervision, less memory, faster.
_base_ = './refinemask_r50_fpn_1x_coco.py'

model = dict(
    roi_head=dict(
        mask_head=dict(
            type='mmseghead.SimpleRefineMaskHead',
            agnostic_stages=(3, ),
            loss_mask=dict(stage_weights=(0.5, 0.75, 0.75, 1.0)))))
