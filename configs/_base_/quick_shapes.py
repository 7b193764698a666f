# The quick recipe on shapes.
_base_ = ['./datasets/shapes_instance.py', './schedules/schedule_quick.py']

# An endless stream of samples, each with its own seed: a resumed run repeats
# the uninterrupted one.
train_dataloader = dict(
    sampler=dict(type='SeededInfiniteSampler', shuffle=True))
