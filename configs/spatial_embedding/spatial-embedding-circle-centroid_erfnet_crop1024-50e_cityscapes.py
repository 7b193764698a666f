# Second stage, circular bandwidth, centroid.
_base_ = '../_base_/spatial-embedding_cityscapes_stage2.py'

model = dict(
    mask_head=dict(
        num_sigma=1, loss_embedding=dict(to_center=True)))
load_from = ('work_dirs/spatial-embedding-circle-centroid_erfnet_crop512-200e_cityscapes/'
             'epoch_200.pth')
