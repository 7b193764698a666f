"""One list of classes, known to everything that needs it."""
from typing import Any, Iterable, Tuple

# Heads whose `num_classes` counts something else than the data's classes.
_OWN_CLASSES = ('RPNHead', 'GARPNHead', 'FusedSemanticHead')
_LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def fan_out_classes(cfg: Any) -> None:
    """Write the config's top-level ``classes`` to data sets and heads.

    Sets ``metainfo.classes`` of every data set below the three data loaders
    and every ``num_classes`` below ``model``, in place; region proposal and
    semantic helper heads keep theirs. A config without ``classes`` is left
    as it is.

    Args:
        cfg: A config of mmengine.

    Raises:
        TypeError: if ``classes`` is no sequence of names.
        ValueError: if it is empty or names a class twice.
    """
    classes = cfg.get('classes')
    if classes is None:
        return
    names = _checked(classes)
    cfg.classes = names
    cfg.num_classes = len(names)
    for loader in _LOADERS:
        if cfg.get(loader):
            for dataset in inner_dataset_configs(cfg[loader].dataset):
                metainfo = dict(dataset.get('metainfo') or {})
                metainfo['classes'] = names
                dataset['metainfo'] = metainfo
    for head in _dicts(cfg.get('model') or {}):
        kind = str(head.get('type', '')).split('.')[-1]
        if 'num_classes' in head and kind not in _OWN_CLASSES:
            head['num_classes'] = len(names)


def _checked(classes: Any) -> Tuple[str, ...]:
    if isinstance(classes, str) or not all(
            isinstance(name, str) for name in classes):
        raise TypeError(
            '`classes` must be a tuple of names; a single class needs its '
            f"comma, ('name', ); got {classes!r}.")
    names = tuple(classes)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if not names or repeated:
        raise ValueError('`classes` must name at least one class, each once, '
                         f'got {names!r}; repeated: {repeated}.')
    return names


def inner_dataset_configs(dataset: Any) -> Iterable[dict]:
    """Yield the innermost data set configs below wrappers.

    Args:
        dataset: Config of a data set, or of wrappers around some.
    """
    inner = dataset.get('dataset') or dataset.get('datasets')
    if inner is None:
        yield dataset
    else:
        for item in inner if isinstance(inner, (list, tuple)) else [inner]:
            yield from inner_dataset_configs(item)


def _dicts(node: Any) -> Iterable[dict]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _dicts(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from _dicts(value)
