# First stage, elliptical bandwidth, centroid.
_base_ = '../_base_/spatial-embedding_cityscapes_stage1.py'

model = dict(
    mask_head=dict(
        num_sigma=2, loss_embedding=dict(to_center=True)))
