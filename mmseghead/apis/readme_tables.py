"""Tables of results in READMEs, rendered from the model index."""
import re
from pathlib import Path
from typing import List

from mmseghead.utils import atomic_write
from .compare import Filter, collect_rows, select_rows, to_markdown
from .model_index import ModelIndex, load_index

_KEYS = ('dataset', 'method', 'source')
_MARKED = re.compile(
    r'(?P<begin><!-- models (?P<query>[^>]*?) -->\n).*?(?P<end><!-- /models -->)',
    re.S)


def render_tables(text: str, index: ModelIndex) -> str:
    """Renew the tables between markers of a Markdown text.

    A table stands between ``<!-- models dataset=nuclei -->`` and
    ``<!-- /models -->``. The query is ``key=value`` pairs parted by ``;``
    with the keys ``dataset`` (whole name), ``method`` and ``source`` (regular
    expressions).

    Args:
        text: A README.
        index: Where the numbers come from.

    Returns:
        The text with its tables as the index has them now.

    Raises:
        ValueError: if a query has another key or finds nothing.
    """

    def renew(match: re.Match) -> str:
        table = to_markdown(
            select_rows(collect_rows(index), _parse(match['query'])))
        return f'{match["begin"]}\n{table}\n{match["end"]}'

    return _MARKED.sub(renew, text)


def _parse(query: str) -> Filter:
    wanted = {}
    for pair in query.split(';'):
        key, _, value = pair.strip().partition('=')
        if key not in _KEYS or not value:
            raise ValueError(
                'a table of models is chosen by key=value pairs with the '
                f'keys {", ".join(_KEYS)}; got {query!r}.')
        wanted[key] = value
    return Filter(**wanted)


def readmes(root: Path) -> List[Path]:
    """Return the READMEs of a checkout, the main one first."""
    return [root / 'README.md', *sorted(root.glob('configs/*/README.md'))]


def update_readmes(root: Path) -> List[Path]:
    """Renew the tables of all READMEs.

    Args:
        root: The folder that holds ``model_index.yml``.

    Returns:
        The files that changed.
    """
    index = load_index(root)
    changed = []
    for path in readmes(root):
        text = path.read_text(encoding='utf-8')
        renewed = render_tables(text, index)
        if renewed != text:
            with atomic_write(path) as file:
                file.write(renewed)
            changed.append(path)
    return changed
