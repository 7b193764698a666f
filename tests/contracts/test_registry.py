"""What holds for every component that the package registers."""
import importlib
import inspect

import pytest
from mmengine import registry as roots

from mmseghead import registry
from mmseghead.utils import register_all_modules

register_all_modules(init_default_scope=False)
REGISTRIES = {
    name: value
    for name, value in vars(registry).items() if name.isupper()
    and isinstance(value, roots.Registry)
}
COMPONENTS = [(name, key, component)
              for name, child in sorted(REGISTRIES.items())
              for key, component in sorted(child.module_dict.items())]
each_component = pytest.mark.parametrize(
    'name, key, component', COMPONENTS, ids=[c[1] for c in COMPONENTS])


def test_every_root_of_mmengine_has_a_child():
    expected = {
        name
        for name, value in vars(roots).items()
        if isinstance(value, roots.Registry) and value.parent is None
    }
    assert set(REGISTRIES) == expected


@pytest.mark.parametrize('name', sorted(REGISTRIES))
def test_child_knows_its_root_scope_and_place(name):
    child = REGISTRIES[name]
    assert child.parent is getattr(roots, name)
    assert child.scope == 'mmseghead'
    assert child._locations
    for location in child._locations:
        importlib.import_module(location)


@each_component
def test_resolves_by_scoped_and_bare_name(name, key, component):
    assert getattr(roots, name).get(f'mmseghead.{key}') is component
    assert REGISTRIES[name].get(key) is component


@each_component
def test_is_exported_where_the_registry_looks(name, key, component):
    assert key == component.__name__
    room = component.__module__.rpartition('.')[0]
    exported = importlib.import_module(room).__all__
    assert key in exported, f'{key} is missing in {room}.__all__'


@each_component
def test_says_what_it_is(name, key, component):
    assert inspect.getdoc(component)
    assert component.__doc__, f'{key} inherits its docstring'
    assert not key.startswith('_') and '_' not in key


def test_unknown_keys_fail_when_built():
    """A component that takes **kwargs would swallow a typo."""
    swallowing = []
    for name, key, component in COMPONENTS:
        if not inspect.isclass(component):
            continue
        own = component.__dict__.get('__init__')
        if own is None:
            continue  # the base's constructor
        kinds = {p.kind for p in inspect.signature(own).parameters.values()}
        source = inspect.getsource(own)
        if inspect.Parameter.VAR_KEYWORD in kinds and (
                '**kwargs' not in source.split(':', 1)[1]):
            swallowing.append(key)
    assert not swallowing
