"""Child registries of every mmengine root, scope ``mmseghead``.

Each names where its components live, so that the first lookup imports them.
Components of mmdet are reached by scope: ``type='mmdet.FPN'``.
"""
from mmengine import registry as mmengine_registry
from mmengine.registry import Registry

SCOPE = 'mmseghead'


def _child(root_name: str, *locations: str) -> Registry:
    """Return a child of mmengine's root registry ``root_name``."""
    root = getattr(mmengine_registry, root_name)
    return Registry(
        root.name,
        parent=root,
        scope=SCOPE,
        locations=[f'{SCOPE}.{room}' for room in locations])


RUNNERS = _child('RUNNERS', 'engine')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS', 'engine')
LOOPS = _child('LOOPS', 'engine')
HOOKS = _child('HOOKS', 'engine')
STRATEGIES = _child('STRATEGIES', 'engine')
DATASETS = _child('DATASETS', 'datasets')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'datasets')
TRANSFORMS = _child('TRANSFORMS', 'datasets')
MODELS = _child('MODELS', 'models')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'models')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'models')
OPTIMIZERS = _child('OPTIMIZERS', 'engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'engine')
METRICS = _child('METRICS', 'evaluation')
EVALUATOR = _child('EVALUATOR', 'evaluation')
TASK_UTILS = _child('TASK_UTILS', 'models')
VISUALIZERS = _child('VISUALIZERS', 'visualization')
VISBACKENDS = _child('VISBACKENDS', 'visualization')
INFERENCERS = _child('INFERENCERS', 'apis')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'engine')
FUNCTIONS = _child('FUNCTIONS', 'utils')

__all__ = [
    'SCOPE',
    'RUNNERS',
    'RUNNER_CONSTRUCTORS',
    'LOOPS',
    'HOOKS',
    'STRATEGIES',
    'DATASETS',
    'DATA_SAMPLERS',
    'TRANSFORMS',
    'MODELS',
    'MODEL_WRAPPERS',
    'WEIGHT_INITIALIZERS',
    'OPTIMIZERS',
    'OPTIM_WRAPPERS',
    'OPTIM_WRAPPER_CONSTRUCTORS',
    'PARAM_SCHEDULERS',
    'METRICS',
    'EVALUATOR',
    'TASK_UTILS',
    'VISUALIZERS',
    'VISBACKENDS',
    'INFERENCERS',
    'LOG_PROCESSORS',
    'FUNCTIONS',
]
