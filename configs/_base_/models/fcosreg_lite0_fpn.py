# FCOSreg (FCOSIS, section 3.3): FCOS with mask labels in training.
_base_ = './fcos_lite0_fpn.py'

model = dict(bbox_head=dict(type='FCOSRegHead'))
