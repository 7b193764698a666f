_base_ = '../_base_/fcos_r50_fpn_2x_coco.py'

model = dict(bbox_head=dict(type='mmseghead.FCOSRegHead'))
# FCOSreg learns from masks, but predicts boxes only.
val_evaluator = dict(metric=['bbox'])
test_evaluator = val_evaluator
