"""Folders that are never half-filled."""
import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Iterator

from .files import PathLike

_STALE_SECONDS = 3600


@contextlib.contextmanager
def atomic_folder(path: PathLike) -> Iterator[Path]:
    """Fill a folder that appears under ``path`` only when it is complete.

    The content goes to a hidden folder beside ``path``, which replaces
    ``path`` with all its content on a clean exit and is removed on an
    exception. What a killed process left there is removed after an hour. If
    ``path`` is a link, the folder it points to is replaced.

    Args:
        path: The folder to make. Missing parent folders are made.

    Yields:
        The hidden folder.
    """
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f'.{path.name}.part-'
    for leftover in path.parent.glob(f'{prefix}*'):
        if time.time() - leftover.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
    building = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix))
    try:
        # mkdtemp makes private folders.
        building.chmod(0o755)
        yield building
        if path.exists():
            shutil.rmtree(path)
        os.replace(building, path)
    finally:
        shutil.rmtree(building, ignore_errors=True)
