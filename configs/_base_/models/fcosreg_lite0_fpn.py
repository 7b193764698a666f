# FCOSreg (FCOSIS, section 3.3): FCOS with mask labels in training.
_base_ = './fcos_lite0_fpn.py'

# All of a box may learn, as in the paper: the masks say what is object.
model = dict(bbox_head=dict(type='FCOSRegHead', center_sampling=False))
