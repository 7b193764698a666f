"""Checkpoints that are read without running code, and written whole or not.

mmengine reads what PyTorch refuses a second time, without its safeguards, and
then a file of weights may run any program. Importing this module replaces its
readers of local files and of URLs by ones that stop.
"""
import os
import pickle
import re
from pathlib import Path
from typing import Any, List
from urllib.parse import urlparse

import numpy as np
import torch
from mmengine.dist import get_dist_info
from mmengine.fileio import LocalBackend, register_backend
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from .files import PathLike, atomic_write

#: Name of the file backend whose files appear complete or not at all.
ATOMIC = 'mmseghead.atomic'


def _allowed() -> List[Any]:
    """Return what mmengine's checkpoints hold besides tensors."""
    core = np._core if hasattr(np, '_core') else np.core
    kinds = (np.uint32, np.int64, np.float32, np.float64, np.bool_)
    return [
        HistoryBuffer, np.ndarray, np.dtype, core.multiarray._reconstruct,
        core.multiarray.scalar, slice, (_statistics, 'builtins.getattr'),
        *{type(np.dtype(kind)) for kind in kinds}
    ]


def _statistics(owner: Any, name: str) -> Any:
    """Stand in for ``getattr``, by which a ``HistoryBuffer`` keeps methods."""
    if owner is not HistoryBuffer or name.startswith('_'):
        raise pickle.UnpicklingError(f'Unsupported global: getattr of {owner}')
    return getattr(owner, name)


def read_checkpoint(path: PathLike, map_location: Any = None) -> Any:
    """Read a checkpoint without running any code in it.

    Args:
        path: A file of ``torch.save``.
        map_location: Where the tensors go; as for ``torch.load``.

    Returns:
        Its content: tensors, numbers, text, and mmengine's message hub.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint, is cut off, or would run code.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'There is no checkpoint {path}.')
    try:
        with torch.serialization.safe_globals(_allowed()):
            return torch.load(
                path, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(_refusal(path, error)) from error
    except Exception as error:  # what bytes at random lead to is manifold
        raise ValueError(f'{path} is no checkpoint of PyTorch, or is cut off '
                         f'({path.stat().st_size} bytes).') from error


def _refusal(path: Path, error: Exception) -> str:
    named = re.search(r'GLOBAL \S+', str(error))
    what = f' ({named[0]})' if named else ''
    return (f'{path} is refused: reading it would run code other than that '
            f'of tensors{what}. If you trust where it comes from, read it '
            'once with torch.load(..., weights_only=False) and save its '
            '`state_dict` alone.')


@CheckpointLoader.register_scheme(prefixes='', force=True)
def _load_from_local(filename: str, map_location: Any = None) -> Any:
    return read_checkpoint(filename, map_location)


@CheckpointLoader.register_scheme(prefixes=('http://', 'https://'),
                                  force=True)
def _load_from_http(filename: str,
                    map_location: Any = None,
                    model_dir: Any = None) -> Any:
    """Download to PyTorch's cache, once for all processes, and read."""
    folder = Path(model_dir or Path(torch.hub.get_dir(), 'checkpoints'))
    path = folder / os.path.basename(urlparse(filename).path)
    rank, world_size = get_dist_info()
    if rank == 0 and not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(filename, str(path))
    if world_size > 1:
        torch.distributed.barrier()
    return read_checkpoint(path, map_location)


class AtomicLocalBackend(LocalBackend):
    """mmengine's local files, but a file appears when it is complete.

    A disk that is full leaves neither half a file nor a damaged old one.
    """

    def put(self, obj: bytes, filepath: PathLike) -> None:
        """Write bytes to a file."""
        with atomic_write(filepath, 'wb') as file:
            file.write(obj)

    def put_text(self,
                 obj: str,
                 filepath: PathLike,
                 encoding: str = 'utf-8') -> None:
        """Write text to a file."""
        self.put(obj.encode(encoding), filepath)


register_backend(ATOMIC, AtomicLocalBackend, force=True)
