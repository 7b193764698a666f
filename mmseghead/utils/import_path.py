"""Looking packages up as an installed command would."""
import contextlib
import os
import sys
from typing import Iterator


@contextlib.contextmanager
def without_working_folder() -> Iterator[None]:
    """Hide the working folder from the import path.

    ``python -m`` puts it first. In a checkout that was installed in editable
    mode it holds an ``egg-info`` folder, which then passes for the
    installation and sends mim to a wrong root.
    """
    before = list(sys.path)
    here = os.getcwd()
    sys.path[:] = [
        entry for entry in before
        if os.path.abspath(entry or here) != here
    ]
    try:
        yield
    finally:
        sys.path[:] = before
