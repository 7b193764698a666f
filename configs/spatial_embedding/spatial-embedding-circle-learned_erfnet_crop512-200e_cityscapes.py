# First stage, circular bandwidth, learned centre.
_base_ = '../_base_/spatial-embedding_cityscapes_stage1.py'

model = dict(
    mask_head=dict(
        num_sigma=1, loss_embedding=dict(to_center=False)))
