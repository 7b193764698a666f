"""Folders that conversions write to."""
from pathlib import Path

from mmseghead.utils.files import PathLike


def check_empty_folder(folder: PathLike, owner: str) -> None:
    """Raise unless a folder is new or empty.

    Args:
        folder: The folder.
        owner: Name of the function, for the message.

    Raises:
        FileExistsError: if it holds files, or is one.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f'`out_dir` of {owner} must be new or empty, but {folder} holds '
            'files. Choose another folder or remove it.')
