# What the zoo adds to a config inherited from mmdet: checks of classes and
# files, the run record, and the fast COCO metric. `default_scope` stays
# mmdet's, so that its bare names keep their meaning.
custom_imports = dict(imports=['mmseghead'], allow_failed_imports=False)

checked_hooks = [
    dict(type='mmseghead.ClassCheckHook'),
    dict(type='mmseghead.PreflightHook'),
    dict(type='mmseghead.FiniteLossHook'),
    dict(type='mmseghead.RunRecordHook'),
]
checked_default_hooks = dict(
    checkpoint=dict(type='mmseghead.AtomicCheckpointHook'))
checked_loader = dict(dataset=dict(type='mmseghead.InstanceDataset'))
checked_metric = dict(type='mmseghead.CocoMetric')
