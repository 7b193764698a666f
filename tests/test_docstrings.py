"""Every public thing is documented, and its arguments are the real ones."""
import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / 'mmseghead'
FILES = sorted(
    path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts)
SECTION = re.compile(r'^( *)(Args|Returns|Yields|Raises|Source|Attributes|'
                     r'Example|Note):', re.M)


def is_public(name: str) -> bool:
    return not name.startswith('_')


def definitions(tree):
    """Yield (owner, node) of public classes, functions and methods."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and is_public(node.name):
            yield None, node
        elif isinstance(node, ast.ClassDef) and is_public(node.name):
            yield None, node
            for item in node.body:
                if isinstance(item, ast.FunctionDef) and is_public(item.name):
                    yield node, item


def is_property(node) -> bool:
    return any(
        ast.unparse(decorator).endswith(('property', '.setter'))
        for decorator in getattr(node, 'decorator_list', ()))


def documented_arguments(docstring: str):
    """Return the names in the Args section, None if there is none."""
    found = re.search(r'^( *)Args:\n', docstring, re.M)
    if not found:
        return None
    indent = len(found[1]) + 4
    names = []
    for line in docstring[found.end():].splitlines():
        if line.strip() and len(line) - len(line.lstrip()) < indent:
            break
        match = re.match(rf'^ {{{indent}}}\**(\w+)(?:, \**(\w+))*:', line)
        if match:
            names += re.findall(r'\w+', line.split(':')[0])
    return names


def arguments(node):
    args = node.args
    names = [a.arg for a in args.posonlyargs + args.args + args.kwonlyargs]
    names += [a.arg for a in (args.vararg, args.kwarg) if a]
    return [name for name in names if name not in ('self', 'cls')]


@pytest.mark.parametrize(
    'path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_things_are_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), 'the module has no docstring'
    missing = []
    for owner, node in definitions(tree):
        # A property is an attribute: its class describes it.
        if ast.get_docstring(node) is None and not is_property(node):
            missing.append(node.name)
    assert not missing


@pytest.mark.parametrize(
    'path', FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_documented_arguments_are_the_real_ones(path):
    wrong = []
    for owner, node in definitions(ast.parse(path.read_text())):
        docstring = ast.get_docstring(node)
        names = documented_arguments(docstring or '')
        if names is None:
            continue
        if isinstance(node, ast.ClassDef):
            inits = [
                item for item in node.body
                if isinstance(item, ast.FunctionDef)
                and item.name == '__init__'
            ]
            if not inits:
                continue  # a dataclass, or inherited arguments
            real = arguments(inits[0])
        else:
            real = arguments(node)
        unknown = set(names) - set(real)
        omitted = set(real) - set(names)
        if unknown or omitted:
            wrong.append((node.name, sorted(unknown), sorted(omitted)))
    assert not wrong, 'name, documented but absent, present but undocumented'
