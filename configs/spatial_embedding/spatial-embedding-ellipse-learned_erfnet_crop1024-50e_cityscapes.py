# Second stage, elliptical bandwidth, learned centre.
_base_ = '../_base_/spatial-embedding_cityscapes_stage2.py'

model = dict(
    mask_head=dict(
        num_sigma=2, loss_embedding=dict(to_center=False)))
load_from = ('work_dirs/spatial-embedding-ellipse-learned_erfnet_crop512-200e_cityscapes/'
             'epoch_200.pth')
