"""Importing every registered component."""
import datetime
import importlib

from mmengine.registry import DefaultScope

from mmseghead.registry import SCOPE

_ROOMS = ('datasets', 'engine', 'evaluation', 'models', 'visualization')


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import all components of mmdet and mmseghead, filling the registries.

    Args:
        init_default_scope: Also make ``mmseghead`` the default scope, so that
            bare names in a config are looked up here first.
    """
    for package in ('mmdet', SCOPE):
        for room in _ROOMS:
            importlib.import_module(f'{package}.{room}')
    if not init_default_scope:
        return
    current = DefaultScope.get_current_instance()
    if current is None or current.scope_name != SCOPE:
        # Instance names are unique for the life of the process.
        name = f'{SCOPE}-{datetime.datetime.now()}'
        DefaultScope.get_instance(name, scope_name=SCOPE)
