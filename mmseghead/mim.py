"""mim for weights on this machine: ``python -m mmseghead.mim download ...``.

``mim download`` fetches weights by http only and never looks at their hash.
It keeps a file that already lies in its destination, though. So this module
first puts the weights there, from a ``file:`` URL or from the mirror folders
(``MMSEGHEAD_WEIGHTS``, ``weights/``), verified by their sha256 in the
metafile. Then mim's own command runs, as it does for all other verbs.
"""
import argparse
import os
import sys
from pathlib import Path
from typing import List, Optional, Sequence
from urllib.parse import unquote, urlsplit

from mmseghead.apis.model_index import ModelEntry, find_weights, load_index
from mmseghead.utils import atomic_write, sha256_of
from mmseghead.utils.import_path import without_working_folder

PACKAGE = 'mmseghead'


def weights_on_this_machine(entry: ModelEntry) -> Optional[Path]:
    """Return the verified weights of a model; None if only http has them.

    Raises:
        FileNotFoundError: if the model has no weights, or they are nowhere.
        ValueError: if the file of a ``file:`` URL has another sha256.
    """
    if not entry.weights:
        raise FileNotFoundError(
            f'No weights of {entry.name!r} are published: train it with '
            f'`mim train mmseghead {entry.config}`.')
    url = urlsplit(entry.weights)
    if url.scheme != 'file':
        try:
            return find_weights(entry.name)
        except FileNotFoundError:
            if url.scheme in ('http', 'https'):
                return None
            raise
    path = Path(unquote(url.path))
    if not path.is_file():
        raise FileNotFoundError(
            f'{entry.weights}, the weights of {entry.name!r}, is absent.')
    found = sha256_of(path)
    if entry.sha256 and found != entry.sha256:
        raise ValueError(f'`SHA256` of {entry.name} must be that of {path}, '
                         f'{found}, got {entry.sha256}.')
    return path


def place_weights(names: Sequence[str], folder: Path) -> List[Path]:
    """Copy the weights of models into a folder, where mim then finds them.

    Args:
        names: Names of models in the index.
        folder: Where to; made if absent.

    Returns:
        The copies, without those that have to come by http.

    Raises:
        KeyError: if the index has no such model.
        FileNotFoundError: if a model has no weights, or they are nowhere.
        ValueError: if they are broken.
    """
    index = load_index()
    copies = []
    for name in names:
        entry = index[name]
        source = weights_on_this_machine(entry)
        if source is None:
            continue
        copy = folder / entry.weights_file
        if not copy.is_file() or sha256_of(copy) != sha256_of(source):
            with atomic_write(copy, 'wb') as file, open(source, 'rb') as raw:
                while chunk := raw.read(1 << 20):
                    file.write(chunk)
        copies.append(copy)
    return copies


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run a mim command; ``download`` of ours gets its weights first."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    from mim.cli import cli
    from mim.utils import DEFAULT_CACHE_DIR
    if arguments[:2] == ['download', PACKAGE]:
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        parser.add_argument('--config', nargs='+', default=[])
        parser.add_argument('--dest', default=DEFAULT_CACHE_DIR)
        options, _ = parser.parse_known_args(arguments[2:])
        try:
            place_weights(options.config, Path(os.path.abspath(options.dest)))
        except (FileNotFoundError, KeyError, ValueError) as error:
            sys.exit(str(error.args[0]))
    with without_working_folder():
        cli(arguments, prog_name='python -m mmseghead.mim')


if __name__ == '__main__':
    main()
