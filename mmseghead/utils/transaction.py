"""Several files that change together or not at all."""
import os
from pathlib import Path
from types import TracebackType
from typing import List, Optional, Tuple, Type

from .files import atomic_write


class FileTransaction:
    """Writes files one by one, and undoes them all on an exception.

    Each file is replaced atomically. A process that is killed between two
    writes leaves the earlier ones in place, so write what others refer to
    first. Not meant for two writers of one file at a time.

    Example:
        >>> with FileTransaction() as files:
        ...     files.write(weights, payload)
        ...     files.write(metafile, text.encode())
    """

    def __init__(self) -> None:
        self._before: List[Tuple[Path, Optional[bytes]]] = []

    def __enter__(self) -> 'FileTransaction':
        return self

    def write(self, path: Path, data: bytes) -> None:
        """Replace one file; equal content is left untouched."""
        before = path.read_bytes() if path.is_file() else None
        if before == data:
            return
        # Noted first: a write that fails half-way is undone as well.
        self._before.append((path, before))
        with atomic_write(path, 'wb') as file:
            file.write(data)

    def __exit__(self, kind: Optional[Type[BaseException]],
                 error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if kind is None:
            return
        for path, before in reversed(self._before):
            if before is not None:
                with atomic_write(path, 'wb') as file:
                    file.write(before)
            elif path.is_file():
                os.unlink(path)
