# The quick recipe on nuclei.
_base_ = ['./datasets/nuclei_instance.py', './schedules/schedule_quick.py']

# An endless stream of samples, each with its own seed: a resumed run repeats
# the uninterrupted one.
train_dataloader = dict(
    sampler=dict(type='SeededInfiniteSampler', shuffle=True))
