# Table 3c: attention all over the box.
_base_ = './fcosis_quick_nuclei.py'

model = dict(
    mask_head=dict(attention=dict(type='mmseghead.AttentionMap', mode='box')))
