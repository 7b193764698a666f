"""Where tests find data that is not part of the repository."""
import os
from pathlib import Path
from typing import Optional

_ROOT = Path(__file__).resolve().parents[2]


def shared_dir() -> Optional[Path]:
    """Return the folder with ``data/nuclei`` and ``data/coco_mini``.

    It is ``$MMSEGHEAD_SHARED``, or else ``shared`` beside the repository.

    Returns:
        The folder, or None where it is absent: skip the test then.
    """
    folder = os.environ.get('MMSEGHEAD_SHARED')
    path = Path(folder) if folder else _ROOT.parent / 'shared'
    return path if path.is_dir() else None


def shared_data(name: str) -> Optional[Path]:
    """Return a data set's folder below ``shared_dir()``, None if absent."""
    folder = shared_dir()
    path = folder / 'data' / name if folder else None
    return path if path and path.is_dir() else None
