"""Reading metafiles, and changing one entry without touching the others."""
import textwrap
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import yaml

from mmseghead.utils import atomic_write

Entry = Dict[str, Any]


class _Dumper(yaml.SafeDumper):
    """Block style with lists indented below their key."""

    def increase_indent(self, flow=False, indentless=False):
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data) -> bool:
        return True


def read_metafile(path: Path) -> Dict[str, Any]:
    """Return the content of a metafile.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not YAML, or not a mapping with the keys
            ``Collections`` and ``Models`` holding lists (or nothing).
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'There is no metafile {path}. Every method folder needs one '
            'that names its collection; see docs/publish.md.')
    return _parse(path.read_text('utf-8'), path)


def _parse(text: str, path: Path) -> Dict[str, Any]:
    try:
        content = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f'Metafile {path} is not valid YAML: {error}')
    if not isinstance(content, dict):
        raise ValueError(
            f'Metafile {path} must be a mapping with the keys Collections '
            f'and Models, got a {type(content).__name__}.')
    for key in ('Collections', 'Models'):
        part = content.get(key) or []
        if not isinstance(part, list) or not all(
                isinstance(item, dict) and isinstance(item.get('Name'), str)
                for item in part):
            raise ValueError(
                f'`{key}` of metafile {path} must be a list of entries that '
                'each have a `Name` in text.')
    return content


def _last_line(node: yaml.Node) -> int:
    """Line of the last character of a node.

    A block's own end mark lies behind the blank lines and comments that
    follow it, so the leaves are asked instead.
    """
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        end = node.end_mark
        # A block scalar ends at column 0 of the line after it.
        return end.line - 1 if end.column == 0 else end.line
    children = [
        part for item in node.value
        for part in (item if isinstance(item, tuple) else (item, ))
    ]
    return max(_last_line(child) for child in children)


def _models_node(text: str) -> Tuple[Optional[yaml.Node],
                                     Optional[yaml.Node]]:
    """Return the key node and the value node of ``Models``, if present."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    for key, value in (document.value if document is not None else []):
        if key.value == 'Models':
            return key, value
    return None, None


def _entry_name(node: yaml.Node) -> Optional[str]:
    for key, value in node.value:
        if key.value == 'Name':
            return value.value
    return None


def _entry_lines(entry: Entry, indent: int) -> List[str]:
    text = yaml.dump(
        [entry],
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10**6)
    # The dumper indents the list once; the caller says where it belongs.
    return textwrap.indent(textwrap.dedent(text),
                           ' ' * indent).rstrip('\n').split('\n')


def with_entry(text: str, entry: Entry, path: Path) -> str:
    """Return a metafile's text with one model entry added or replaced.

    Every other line, comments and blank lines included, stays as it is;
    comments inside a replaced entry are lost.

    Args:
        text: The metafile as it is.
        entry: The new entry; its ``Name`` says which one it replaces.
        path: Only named in errors.

    Raises:
        ValueError: if ``text`` is no metafile, or lists its models in flow
            style, where entries have no lines of their own.
    """
    before = _parse(text, path)
    lines = text.rstrip('\n').split('\n') if text.strip() else []
    key, models = _models_node(text)
    if models is None or not before.get('Models'):
        if models is not None:
            # `Models:` with nothing, or `Models: []`, is said anew below.
            del lines[key.start_mark.line:models.end_mark.line + 1]
        lines += ['Models:'] + _entry_lines(entry, 2)
    elif models.flow_style:
        raise ValueError(
            f'`Models` of metafile {path} must be a block list ("- Name: '
            '..."), got a flow list ("[...]"); write it in block style.')
    else:
        _splice(lines, models, entry)
    after = '\n'.join(lines) + '\n'
    expected = _replaced(before.get('Models') or [], entry)
    if _parse(after, path)['Models'] != expected:
        raise ValueError(
            f'Could not change the entry {entry["Name"]!r} of metafile '
            f'{path} without touching others; please edit it by hand.')
    return after


def _splice(lines: List[str], models: yaml.Node, entry: Entry) -> None:
    """Put the entry's lines into ``lines``, in place of its old ones."""
    nodes = {_entry_name(node): node for node in models.value}
    node = nodes.get(entry['Name'])
    indent = lines[models.value[0].start_mark.line].index('-')
    new = _entry_lines(entry, indent)
    if node is not None:
        lines[node.start_mark.line:_last_line(node) + 1] = new
        return
    end = _last_line(models) + 1
    gap = [''] if '' in lines[models.start_mark.line:end] else []
    lines[end:end] = gap + new


def _replaced(models: List[Entry], entry: Entry) -> List[Entry]:
    if all(model['Name'] != entry['Name'] for model in models):
        return [*models, entry]
    return [
        entry if model['Name'] == entry['Name'] else model for model in models
    ]


def find_entry(content: Dict[str, Any], name: str) -> Optional[Entry]:
    """Return the model entry of that name, or None."""
    for model in content.get('Models') or []:
        if model['Name'] == name:
            return model
    return None


def write_entry(path: Path, entry: Entry) -> bool:
    """Add or replace one model entry of a metafile, atomically.

    Returns:
        Whether the file changed; an equal entry is left alone, so that its
        comments survive.
    """
    if find_entry(read_metafile(path), entry['Name']) == entry:
        return False
    text = with_entry(path.read_text('utf-8'), entry, path)
    with atomic_write(path) as file:
        file.write(text)
    return True


def list_config(root: Path, config: Path) -> bool:
    """Add an entry without numbers for a config that has none.

    Args:
        root: Folder that ``Config`` paths are relative to.
        config: ``configs/<method>/<name>.py`` below it; the metafile beside
            it must have exactly one collection.

    Returns:
        Whether an entry was added.

    Raises:
        FileNotFoundError: if there is no metafile beside the config.
        ValueError: if the collection is not clear.
    """
    metafile = config.parent / 'metafile.yml'
    content = read_metafile(metafile)
    if find_entry(content, config.stem) is not None:
        return False
    names = [item['Name'] for item in content.get('Collections') or []]
    if len(names) != 1:
        raise ValueError(
            f'The collection of {config.stem!r} is not clear: {metafile} has '
            f'{names}; write the entry by hand, without numbers.')
    path = config.resolve().relative_to(Path(root).resolve())
    return write_entry(
        metafile, {
            'Name': config.stem,
            'In Collection': names[0],
            'Config': path.as_posix(),
            'Weights': ''
        })
