"""Choice between mmcv's compiled operators and the stand-in."""
import importlib
import os
import sys
import warnings
from types import ModuleType
from typing import Optional

from .stand_in import HOW_TO_COMPILE, NAME, STAND_IN

VARIABLE = 'MMSEGHEAD_OPS'
CHOICES = ('auto', 'torch', 'compiled')
# The compiled module once it was seen: an extension is to be loaded once.
_SEEN: list[ModuleType] = []


def install(choice: Optional[str] = None) -> str:
    """Select the operators that ``mmcv.ops`` and all built on it use.

    Has to be called before ``mmcv.ops`` is imported where mmcv was installed
    without compiled operators, which importing ``mmseghead`` does. Later
    calls switch over, also ``mmcv.ops`` that was imported in between.

    Args:
        choice: 'auto' for the compiled operators where they can be imported,
            else the stand-in; 'torch' for the stand-in; 'compiled' to insist
            on the others. By default the value of the environment variable
            ``MMSEGHEAD_OPS``, or 'auto'.

    Returns:
        'compiled' or 'torch', as `backend`.

    Raises:
        ValueError: if the choice is none of the three.
        ImportError: if compiled operators are insisted on and missing.
    """
    name = '`choice` of install'
    if choice is None:
        name = f'The environment variable `{VARIABLE}`'
        choice = os.environ.get(VARIABLE, '').strip() or 'auto'
    if choice not in CHOICES:
        raise ValueError(f"{name} must be 'auto', 'torch' or 'compiled', got "
                         f'{choice!r}.')
    if choice == 'torch':
        _bind(STAND_IN)
        return backend()
    try:
        module = load_compiled()
    except ImportError as error:
        if choice == 'compiled':
            raise ImportError(
                f'{name} asks for the compiled operators of mmcv, which '
                f'cannot be imported: {error}. {HOW_TO_COMPILE}') from error
        if not _is_absent(error):
            warnings.warn(
                f'The compiled operators of mmcv are installed but broken '
                f'({error}); mmseghead uses its pure-PyTorch ones. '
                f'{HOW_TO_COMPILE}', RuntimeWarning, stacklevel=2)
        module = STAND_IN
    _bind(module)
    return backend()


def backend() -> str:
    """Return which operators are live.

    Returns:
        'compiled' for those of mmcv, 'torch' for the stand-in.
    """
    if NAME not in sys.modules:
        return install()
    return 'torch' if sys.modules[NAME] is STAND_IN else 'compiled'


def load_compiled() -> ModuleType:
    """Import mmcv's compiled module, also while the stand-in is live.

    Does not select it.

    Raises:
        ImportError: if it is missing or cannot be loaded.
    """
    # Where mmcv itself does not import there is nothing to stand in for.
    importlib.import_module('mmcv')
    live = sys.modules.pop(NAME, None)
    if live not in (None, STAND_IN):
        _SEEN[:] = [live]
    try:
        if not _SEEN:
            _SEEN.append(importlib.import_module(NAME))
    except OSError as error:
        raise ImportError(str(error)) from error
    finally:
        sys.modules.pop(NAME, None)
        if live is not None:
            sys.modules[NAME] = live
    return _SEEN[0]


def _is_absent(error: ImportError) -> bool:
    """Return whether the compiled module is just not installed."""
    return isinstance(error, ModuleNotFoundError) and error.name == NAME


def _bind(module: ModuleType) -> None:
    """Make a module ``mmcv._ext``, for mmcv's operators loaded so far too."""
    mmcv = importlib.import_module('mmcv')
    if module is STAND_IN:
        _warn_if_late()
    if sys.modules.get(NAME) not in (None, STAND_IN):
        _SEEN[:] = [sys.modules[NAME]]
    sys.modules[NAME] = mmcv._ext = module
    for name, loaded in list(sys.modules.items()):
        if name.startswith('mmcv.ops.') and hasattr(loaded, 'ext_module'):
            loaded.ext_module = module


def _warn_if_late() -> None:
    """Warn where mmdet has put its own failing operators in place.

    It does so for good when it is imported while ``mmcv.ops`` is not
    importable.
    """
    if 'mmdet.structures' in sys.modules and 'mmcv.ops' not in sys.modules:
        warnings.warn(
            'mmdet was imported before mmseghead, without operators, and '
            'keeps stubs that raise RuntimeError. Import mmseghead first.',
            RuntimeWarning, stacklevel=3)
