# EffSeg (arXiv:2307.01545) on the quick Mask R-CNN, at a quarter of the usual
# width: 64, 32, 16 and 8 channels at 14, 28, 56 and 112 cells per side.
_base_ = './mask-rcnn_lite0_fpn.py'

neck_channels = _base_.neck_channels
# The paper's initialisation (PyTorch's) lets the signal fade on its way
# through some 15 layers; 360 steps are too few to mend that.
strong_init = [
    dict(
        type='Kaiming',
        layer='Linear',
        mode='fan_in',
        distribution='uniform'),
    # Weights (branches, out, in, 3, 3): this fan is that of all branches.
    dict(
        type='Kaiming',
        layer='IndexConv2d',
        mode='fan_out',
        distribution='uniform')
]

model = dict(
    roi_head=dict(
        type='EffSegRoIHead',
        # Half of the boxes, and a third of their cells: all 32 boxes take half
        # as long again, for no better masks.
        max_mask_rois=16,
        mask_roi_extractor=dict(roi_layer=dict(sampling_ratio=0)),
        mask_head=dict(
            _delete_=True,
            type='EffSegMaskHead',
            in_channels=neck_channels,
            feat_channels=neck_channels,
            # In a test as in training: cells that training never divides, far
            # from all edges, come out wrong when a test divides them.
            num_refine=1000,
            logits_std=0.01,
            init_cfg=strong_init)))
