_base_ = '../_base_/fcos_r50_fpn_2x_coco.py'

# FCOS predicts boxes only.
val_evaluator = dict(metric=['bbox'])
test_evaluator = val_evaluator
