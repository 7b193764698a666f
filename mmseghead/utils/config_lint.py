"""Keys of a config that nothing reads.

mmengine merges whatever a config says, and many constructors swallow unknown
arguments in ``**kwargs``: a mistyped key then changes nothing, without a word.
"""
import difflib
import inspect
import re
from typing import (Any, Dict, FrozenSet, Iterator, List, Mapping, NamedTuple,
                    Optional, Tuple)

from .option_keys import RUNNER_KEYS
from .signatures import accepted_arguments, find_registered, registered_names

# How alike an unknown key must be to a known one to count as its typo; at the
# top of a config, where free variables live, it must be more so.
_ALIKE, _ALIKE_AT_TOP = 0.75, 0.86
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
_LOOPS = ('train_cfg', 'val_cfg', 'test_cfg')
# Of dicts without `type`, by dotted path: what mmengine reads of them.
_FIXED = {
    'optim_wrapper.paramwise_cfg': frozenset(
        ('custom_keys', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult',
         'flat_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult',
         'bypass_duplicate', 'num_layers', 'decay_rate', 'decay_type')),
    'optim_wrapper.clip_grad': frozenset(
        ('type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'foreach',
         'clip_value')),
    'auto_scale_lr': frozenset(('enable', 'base_batch_size')),
    'env_cfg': frozenset(
        ('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit')),
    'env_cfg.mp_cfg': frozenset(
        ('mp_start_method', 'opencv_num_threads')),
    'randomness': frozenset(('seed', 'diff_rank_seed', 'deterministic')),
    **{
        f'{loader}.dataset.filter_cfg': frozenset(
            ('filter_empty_gt', 'min_size', 'bbox_min_size'))
        for loader in _LOADERS
    },
}  # yapf: disable
# Keys that whoever builds a typed dict takes out before.
_BESIDE_TYPE = {
    'optim_wrapper': ('paramwise_cfg', 'constructor', 'loss_scale'),
    'param_scheduler': ('convert_to_iter_based', ),
    'custom_hooks': ('priority', ),
    'default_hooks': ('priority', ),
    'val_evaluator': ('metrics', ),
    'test_evaluator': ('metrics', ),
    'norm_cfg': ('requires_grad', ),
    'init_cfg': ('override', ),
    'nms': ('class_agnostic', 'split_thr'),
    'dcn': ('fallback_on_stride', 'deformable_groups'),
}
_DEFAULT_TYPES = dict(
    optim_wrapper='OptimWrapper', log_processor='LogProcessor',
    val_cfg='ValLoop', test_cfg='TestLoop')
_LOADER_KEYS = frozenset(
    ('dataset', 'sampler', 'batch_sampler', 'collate_fn', 'worker_init_fn',
     'num_batch_per_epoch', 'batch_size', 'num_workers', 'pin_memory',
     'drop_last', 'timeout', 'multiprocessing_context', 'generator',
     'prefetch_factor', 'persistent_workers', 'pin_memory_device'))
_HOOK_KEYS = frozenset(
    ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler',
     'checkpoint', 'visualization'))
# Reads of a settings dict in source text: `cfg.x`, `cfg['x']`, `cfg.get('x'`.
_READS = re.compile(r'''cfg\w*(?:\.get\(\s*|\.pop\(\s*|\[)['"](\w+)['"]|'''
                    r'''cfg\w*\.(\w+)|['"](\w+)['"] (?:not )?in \w*\.?\w*cfg''')


class _Node(NamedTuple):
    """A dict of the config: where it is, what it is, which keys it takes."""
    path: str
    owner: str
    given: Tuple[str, ...]
    accepted: FrozenSet[str]
    strict: bool  # whether a key that resembles none is a fault too


def find_unread_keys(cfg: Mapping[str, Any]) -> List[str]:
    """Look for keys that nothing reads.

    Checked are the arguments of everything with a ``type``, by the signatures
    of its class and bases; the keys of mmengine's own dicts; and of
    ``train_cfg`` and ``test_cfg`` of models whether a key resembles one that
    the model's classes read. Free variables at the top of a config pass
    unless they look like a mistyped key of the Runner.

    Args:
        cfg: A config of mmengine, or a dict like it, with all scopes it names
            registered.

    Returns:
        One message a fault, naming the place, the key, and what is near; []
        if there is none.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    nodes: List[_Node] = []
    faults: List[str] = []
    # Other variables take effect only through these.
    used = {key: cfg[key] for key in RUNNER_KEYS if key in cfg}
    nodes.append(
        _Node('', 'the config', tuple(cfg), frozenset(RUNNER_KEYS), False))
    for path, node in _dicts('', used):
        described = _describe(path, node, scope, faults)
        if described is not None:
            nodes.append(described)
    nodes += _settings(cfg, scope)
    for node in nodes:
        for key in node.given:
            if key not in node.accepted:
                message = _fault(key, node, nodes)
                if message:
                    faults.append(message)
    return faults


def _dicts(path: str, node: Any) -> Iterator[Tuple[str, Dict[str, Any]]]:
    """Yield all dicts of a config with their dotted paths."""
    if isinstance(node, dict):
        yield path, node
        items = node.items()
    elif isinstance(node, (list, tuple)):
        items = enumerate(node)
    else:
        return
    for key, value in items:
        yield from _dicts(f'{path}.{key}' if path else str(key), value)


def _describe(path: str, node: Dict[str, Any], scope: str,
              faults: List[str]) -> Optional[_Node]:
    """Return which keys a dict takes, or None if it may hold any."""
    given = tuple(str(key) for key in node)
    if not path:
        return None
    if path == 'default_hooks':
        return _Node(path, 'mmengine', given, _HOOK_KEYS, False)
    if path in _LOADERS:
        return _Node(path, 'the data loader', given, _LOADER_KEYS, True)
    if path in _FIXED:
        return _Node(path, 'mmengine', given, _FIXED[path], True)
    kind = node.get('type', _DEFAULT_TYPES.get(path))
    if path == 'train_cfg' and kind is None:
        kind = 'EpochBasedTrainLoop' if node.get('by_epoch') or \
            'max_epochs' in node else 'IterBasedTrainLoop'
    if kind is None or not (isinstance(kind, str) or callable(kind)):
        return None
    target = find_registered(kind, scope) if isinstance(kind, str) else kind
    if target is None:
        faults.append(_unknown_type(path, kind, scope))
        return None
    accepted = accepted_arguments(target)
    beside = {'type', '_scope_', 'name', *_beside_type(path)}
    return _Node(path, getattr(target, '__name__', str(kind)), given,
                 accepted.names | beside, not accepted.open)


def _beside_type(path: str) -> Tuple[str, ...]:
    parts = path.split('.')
    if parts[0] in _LOOPS:
        return ('by_epoch', )
    for part in reversed(parts):
        if not part.isdigit():
            return _BESIDE_TYPE.get(part, _BESIDE_TYPE.get(parts[0], ()))
    return ()


def _unknown_type(path: str, kind: str, scope: str) -> str:
    near = difflib.get_close_matches(kind, registered_names(scope), n=3)
    hint = f' Did you mean {" or ".join(dict.fromkeys(near))}?' if near else ''
    return (f'`{path}.type`: nothing is registered as {kind!r} '
            f'(default_scope is {scope!r}).{hint}')


def _settings(cfg: Mapping[str, Any], scope: str) -> Iterator[_Node]:
    """Yield the ``train_cfg`` and ``test_cfg`` below the model."""
    model = cfg.get('model')
    if not isinstance(model, dict):
        return
    read = frozenset(_read_settings(model, scope))
    for path, node in _dicts('model', model):
        parts = path.split('.')
        inside = {'train_cfg', 'test_cfg'} & set(parts)
        if inside and 'type' not in node:
            yield _Node(path, "the model's classes",
                        tuple(str(key) for key in node), read, False)


def _read_settings(model: Dict[str, Any], scope: str) -> Iterator[str]:
    """Yield the keys that a model's classes read from settings."""
    modules = set()
    for _, node in _dicts('model', model):
        kind = node.get('type')
        target = find_registered(kind, scope) if isinstance(kind, str) else \
            None
        if inspect.isclass(target):
            modules.update(base.__module__ for base in target.__mro__)
    for name in sorted(modules):
        if name.split('.')[0] in ('torch', 'builtins', 'abc'):
            continue
        module = inspect.sys.modules.get(name)
        for groups in _READS.findall(inspect.getsource(module)):
            yield next(filter(None, groups), '')


def _fault(key: str, node: _Node, nodes: List[_Node]) -> str:
    """Say what is wrong with a key, or '' if it may be a free variable."""
    near = difflib.get_close_matches(
        key,
        node.accepted,
        n=3,
        cutoff=_ALIKE if node.path else _ALIKE_AT_TOP)
    if not node.strict and not near:
        return ''
    place = f'`{node.path}.{key}`' if node.path else f'`{key}`'
    if near:
        return (f'{place}: {node.owner} has no {key!r}. Did you mean '
                f'{" or ".join(near)}?')
    elsewhere = [
        other for other in nodes
        if other.strict and other.path and key in other.accepted
    ]
    if elsewhere:
        closest = max(elsewhere, key=lambda other: _shared(node, other))
        return (f'{place}: {node.owner} has no {key!r}, but '
                f'`{closest.path}` ({closest.owner}) has.')
    allowed = ', '.join(sorted(node.accepted - {'_scope_', 'self'}))
    return f'{place}: {node.owner} has no {key!r}, only {allowed}.'


def _shared(one: _Node, other: _Node) -> Tuple[int, int]:
    """Order places by how much of their paths agree, then by depth."""
    parts, others = one.path.split('.'), other.path.split('.')
    same = 0
    for a, b in zip(parts, others):
        if a != b:
            break
        same += 1
    return same, -len(others)
