"""Which arguments a registered class or function takes."""
import inspect
from functools import lru_cache
from typing import Callable, FrozenSet, List, NamedTuple, Optional

from mmengine.registry import Registry

from mmseghead import registry

#: The registries of mmengine, in which all others are rooted.
ROOTS = [
    getattr(registry, name).parent for name in registry.__all__
    if isinstance(getattr(registry, name), Registry)
]
_WITHOUT_NAME = (inspect.Parameter.VAR_POSITIONAL,
                 inspect.Parameter.POSITIONAL_ONLY,
                 inspect.Parameter.VAR_KEYWORD)


class Arguments(NamedTuple):
    """Names that a callable takes; ``open`` if there may be others."""
    names: FrozenSet[str]
    open: bool


def find_registered(name: str, scope: str) -> Optional[Callable]:
    """Return what a ``type`` stands for.

    Operators that mmcv looks up in ``mmcv.ops``, such as ``'RoIAlign'`` and
    ``'nms'``, count too.

    Args:
        name: With or without a scope.
        scope: The config's ``default_scope``.

    Returns:
        A class or a function; None if nothing has this name.
    """
    import mmcv.ops
    for root in ROOTS:
        found = root.children.get(scope, root).get(name)
        if found is not None:
            return found
    return getattr(mmcv.ops, name, None)


def registered_names(scope: str) -> List[str]:
    """Return the names that a config of a scope may write without scope."""
    names: List[str] = []
    for root in ROOTS:
        names += [
            *root.children.get(scope, root).module_dict, *root.module_dict
        ]
    return names


@lru_cache(maxsize=None)
def accepted_arguments(target: Callable) -> Arguments:
    """Return the names of the arguments that a class or function takes.

    A constructor with ``**kwargs`` is taken to hand them to the next one in
    the order of its bases. So a key that only a ``**kwargs`` swallows, and no
    base knows, is not among them; if the last one swallows too, others may be
    read from there.

    Args:
        target: A class or a function.
    """
    chain = [target]
    if inspect.isclass(target):
        chain = [
            base.__dict__['__init__'] for base in target.__mro__
            if base is not object and '__init__' in base.__dict__
        ]
    names: List[str] = []
    for function in chain:
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # compiled
            return Arguments(frozenset(names) - {'self'}, True)
        names += [
            parameter.name for parameter in parameters
            if parameter.kind not in _WITHOUT_NAME
        ]
        if not any(parameter.kind is inspect.Parameter.VAR_KEYWORD
                   for parameter in parameters):
            return Arguments(frozenset(names) - {'self'}, False)
    # PyTorch's bases hand what is left to object, which refuses it.
    closed = chain and chain[-1].__module__.startswith('torch.')
    return Arguments(frozenset(names) - {'self'}, not closed)
