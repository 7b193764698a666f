_base_ = ['../_base_/models/fcos_lite0_fpn.py', '../_base_/quick_nuclei.py']

num_classes = _base_.num_classes
model = dict(bbox_head=dict(num_classes=num_classes))
# FCOS predicts boxes only.
val_evaluator = dict(metric=['bbox'])
test_evaluator = val_evaluator
