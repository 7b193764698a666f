"""Naming a piece of work for whoever measures."""
import contextlib
from typing import Callable, ContextManager, Iterator, List

_listeners: List[Callable[[str], ContextManager]] = []


@contextlib.contextmanager
def marked(name: str) -> Iterator[None]:
    """Tell listeners that the block is the work ``name``; costs nothing else.

    Args:
        name: Such as ``'paste'``.
    """
    with contextlib.ExitStack() as stack:
        for listener in _listeners:
            stack.enter_context(listener(name))
        yield


@contextlib.contextmanager
def listening(listener: Callable[[str], ContextManager]) -> Iterator[None]:
    """Enter ``listener(name)`` around all marked work inside the block.

    Args:
        listener: Returns a context manager.
    """
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
