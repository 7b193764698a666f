"""The import table of docs/architecture.md, read from the source."""
import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'mmseghead'
FLOOR = {'utils', 'registry', 'version'}
PARTS = FLOOR | {'functional'}
HEADS = PARTS | {'models.layers', 'models.task_modules'}
DATA = PARTS | {'datasets'}
# What each room may import of ours. `ops` may be selected by anybody: it
# only chooses which operators are live.
ALLOWED = {
    'registry': set(),
    'version': set(),
    'utils': {'registry', 'version'},
    'functional': {'utils'},
    'ops': {'functional', 'utils'},
    'models.layers': PARTS,
    'models.losses': PARTS,
    'models.task_modules': PARTS,
    'models.backbones': PARTS | {'models.layers'},
    'models.necks': PARTS | {'models.layers'},
    'models.dense_heads': HEADS,
    'models.roi_heads': HEADS,
    'models.detectors': FLOOR,
    'models.test_time_augs': PARTS,
    'datasets': PARTS,
    'evaluation': PARTS,
    'visualization': PARTS | {'datasets', 'evaluation'},
    'engine': PARTS | {'datasets', 'evaluation', 'visualization'},
    'testing': DATA,
}
# Files at the top of the package that tie the rooms together.
TOP = {'__init__', 'doctor', 'mim'}


def room_of(module: str) -> str:
    """Return 'models.losses' for 'mmseghead.models.losses.dice_loss'."""
    parts = module.split('.')[1:]
    if not parts:
        return ''
    if parts[0] == 'models':
        return '.'.join(parts[:2])
    return parts[0]


def module_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE.parent).with_suffix('')
    parts = list(relative.parts)
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imports_of(path: Path):
    """Yield the full names of modules of ours that a file imports."""
    package = module_of(path).split('.')
    if path.name != '__init__.py':
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split('.')[0] == 'mmseghead':
                    yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                start = package[:len(package) - node.level + 1]
                base = '.'.join([*start, *([base] if base else [])])
            if base.split('.')[0] != 'mmseghead':
                continue
            for alias in node.names:
                inner = PACKAGE.parent / Path(*base.split('.'), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(
                    '.py').exists()
                yield f'{base}.{alias.name}' if is_module else base


FILES = sorted(PACKAGE.rglob('*.py'))
FILES = [path for path in FILES if '.mim' not in path.parts]


@pytest.mark.parametrize('path', FILES, ids=lambda p: module_of(p))
def test_rooms_import_leftwards_only(path):
    own = room_of(module_of(path))
    if own in TOP | {'', 'apis', 'models'}:
        return
    assert own in ALLOWED, f'{path}: room {own} is not in the house'
    allowed = ALLOWED[own] | {own, 'ops'}
    wrong = {
        name
        for name in imports_of(path) if room_of(name) not in allowed
    } - {'mmseghead'}
    assert not wrong, f'{own} must not import {sorted(wrong)}'


def test_nobody_imports_apis_or_testing():
    wrong = []
    for path in FILES:
        own = room_of(module_of(path))
        if own in TOP | {'', 'apis', 'testing'}:
            continue
        for name in imports_of(path):
            if room_of(name) in ('apis', 'testing'):
                wrong.append((module_of(path), name))
    assert not wrong


def test_heads_take_losses_and_coders_from_configs():
    for room in ('dense_heads', 'roi_heads'):
        for path in PACKAGE.glob(f'models/{room}/**/*.py'):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom):
                    assert 'losses' not in (node.module or ''), path


@pytest.mark.parametrize('name', ['misc', 'helpers', 'common', 'base2'])
def test_forbidden_names(name):
    assert not list(PACKAGE.rglob(f'{name}.py'))


def test_files_stay_short():
    long = {
        module_of(path): count
        for path in FILES
        if (count := len(path.read_text().splitlines())) > 600
    }
    assert not long


def function_bodies(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body
            if ast.get_docstring(node) is not None:
                body = body[1:]
            if body:
                yield node.name, body[-1].end_lineno - body[0].lineno + 1


def test_functions_stay_short():
    long = [(module_of(path), name, lines) for path in FILES
            for name, lines in function_bodies(path) if lines > 60]
    assert not long


def test_tools_are_thin():
    tools = PACKAGE.parent / 'tools'
    long = {
        str(path): count
        for path in tools.rglob('*.py')
        if (count := len(path.read_text().splitlines())) > 120
    }
    assert not long
