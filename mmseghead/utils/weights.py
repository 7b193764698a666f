"""Finding published weights in mirror folders, with their hash checked."""
import os
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, List, Optional

from mmengine.runner import CheckpointLoader

from .files import PathLike, sha256_of

WEIGHTS_ENV = 'MMSEGHEAD_WEIGHTS'
#: `Weights` of a metafile that names a file of the mirrors, not a host.
SCHEME = 'mmseghead://'


def weights_folders(root: Optional[PathLike] = None) -> List[Path]:
    """Return the mirror folders, best first.

    Those of ``MMSEGHEAD_WEIGHTS`` (joined as in PATH; ``file://`` is
    understood, other URLs are left out), then ``weights/``.

    Args:
        root: Where ``weights/`` lies; the checkout the package is imported
            from, or the working folder outside of one, if None.
    """
    if root is None:
        root = Path(__file__).resolve().parents[2]
        root = root if (root / 'configs').is_dir() else Path.cwd()
    named = os.environ.get(WEIGHTS_ENV, '')
    # A colon that starts "://" separates nothing.
    parts = re.split(f'{re.escape(os.pathsep)}(?!//)', named)
    folders = [_local(part) for part in parts if part]
    return [path for path in folders if path] + [Path(root) / 'weights']


def _local(place: str) -> Optional[Path]:
    if '://' not in place:
        return Path(place)
    parsed = urllib.parse.urlparse(place)
    if parsed.scheme != 'file':
        return None
    return Path(urllib.request.url2pathname(parsed.path))


def find_weights(name_or_url: str,
                 sha256: Optional[str] = None,
                 root: Optional[PathLike] = None) -> Path:
    """Return a published file from the first mirror with an unbroken copy.

    Args:
        name_or_url: File name, or any URL or path that ends in it.
        sha256: 64 hexadecimal digits. If None, the eight in the file's name
            are checked instead.
        root: See :func:`weights_folders`.

    Raises:
        FileNotFoundError: if no mirror has it unbroken; says where it looked
            and what it found.
        ValueError: if there is no hash to check by.
    """
    file_name = name_or_url.rstrip('/').rsplit('/', 1)[-1]
    digits = re.search(r'-([0-9a-f]{8})\.pth$', file_name)
    if sha256 is None and digits is None:
        raise ValueError(
            '`name_or_url` of find_weights must end in -<8 hex digits>.pth '
            f'where no sha256 is given, got {name_or_url!r}.')
    wanted = sha256 or digits.group(1)
    looked = []
    for folder in weights_folders(root):
        path = folder / file_name
        if not path.is_file():
            looked.append(f'{path}: absent')
        elif not (found := sha256_of(path)).startswith(wanted):
            looked.append(f'{path}: broken, its sha256 is {found}')
        else:
            return path
    raise FileNotFoundError('\n  '.join([
        f'No mirror holds {file_name} with sha256 {wanted}. Put it into one '
        f'of these folders, or name another folder in {WEIGHTS_ENV}. Looked '
        'at', *looked
    ]))


@CheckpointLoader.register_scheme(prefixes=SCHEME, force=True)
def load_from_mirror(filename: str, map_location: Any = None) -> Any:
    """Load a checkpoint given as ``mmseghead://<file>``."""
    from .checkpoints import read_checkpoint
    return read_checkpoint(find_weights(filename), map_location)
