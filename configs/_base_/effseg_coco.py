# EffSeg (arXiv:2307.01545) at the paper's size, for any two-stage detector of
# mmdet. Most numbers are the head's own defaults, written down because the
# ablations change them.
_base_ = './coco_checked.py'

effseg_roi_head = dict(
    type='mmseghead.EffSegRoIHead',
    # The paper segments 52-65 matched queries of an image; a sampler of boxes
    # gives up to 128 positives, of which the budget would keep 40 %.
    max_mask_rois=64)
effseg_mask_head = dict(
    type='mmseghead.EffSegMaskHead',
    in_channels=256,
    feat_channels=256,
    num_stages=4,
    roi_size=14,
    num_refine=10000,  # cells of an image divided at each step
    refine_scope='image',
    process='sfm',
    dilations=(1, 3, 5),
    inst_feat_channels=None,
    loss_seg_weights=(0.25, 0.375, 0.375, 0.5),
    loss_ref_weights=(0.25, 0.25, 0.25, 0.25),
    mask_score_weighting=True,
    mask_thr_binary=0.5)
# As in RefineMask; not in the paper, which trains a DETR-like detector.
effseg_clip = dict(max_norm=35, norm_type=2)
