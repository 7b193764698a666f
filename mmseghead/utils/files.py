"""Files that are never half-written, and their fingerprints."""
import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import IO, Iterator, Union

PathLike = Union[str, 'os.PathLike[str]']


@contextlib.contextmanager
def atomic_write(path: PathLike, mode: str = 'w') -> Iterator[IO]:
    """Open a file that appears under ``path`` only when it is complete.

    The content goes to a temporary file in the same folder, which replaces
    ``path`` on a clean exit and is removed on an exception. Missing parent
    folders are made.

    Args:
        path: The file to write.
        mode: ``'w'`` (UTF-8 text) or ``'wb'``.

    Yields:
        The open temporary file.

    Raises:
        ValueError: if ``mode`` is neither of the two.
    """
    if mode not in ('w', 'wb'):
        raise ValueError(
            f"`mode` of atomic_write must be 'w' or 'wb', got {mode!r}.")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f'.{path.name}.', suffix='.tmp')
    encoding = None if 'b' in mode else 'utf-8'
    try:
        with os.fdopen(handle, mode, encoding=encoding) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; give what open() would have given.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def sha256_of(path: PathLike) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
