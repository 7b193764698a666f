# PointINS (arXiv:2003.06148) on the quick FCOS.
_base_ = ['./fcos_lite0_fpn.py', './pointins_lite0_branch.py']

model = dict(
    bbox_head=dict(
        type='PointINSFCOSHead',
        # A level takes objects of 4 to 8 times its stride, half of what the
        # plain FCOS does: a single point must see all of its object.
        regress_ranges=((-1, 16), (16, 32), (32, 64), (64, 128), (128, 1e8)),
        # Distances in strides begin at 2. Below 0, where half of them would
        # begin otherwise, nothing is learned.
        init_cfg=dict(
            type='Normal',
            layer='Conv2d',
            std=0.01,
            override=[
                dict(
                    type='Normal', name='conv_cls', std=0.01, bias_prob=0.01),
                dict(type='Normal', name='conv_reg', std=0.01, bias=2.0),
            ]),
        mask_branch=_base_.mask_branch),
    test_cfg=dict(mask_thr_binary=0.5))
