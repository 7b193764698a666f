"""Fixtures of the operator tests: both backends side by side."""
import pytest

from mmseghead.ops.selection import backend, install, load_compiled


@pytest.fixture(scope='session')
def compiled():
    """mmcv's compiled module; tests of parity skip where it is missing."""
    try:
        return load_compiled()
    except ImportError as error:
        pytest.skip(f'mmcv has no compiled operators here ({error})')


@pytest.fixture(scope='module')
def torch_ops():
    """``mmcv.ops`` running on the stand-in."""
    before = backend()
    install('torch')
    import mmcv.ops
    yield mmcv.ops
    install(before)
