"""The module that takes the place of mmcv's compiled ``mmcv._ext``."""
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Callable, NoReturn

from . import deform_conv_ext, focal_loss, nms, roi_align

NAME = 'mmcv._ext'
HOW_TO_COMPILE = (
    'Prebuilt onedl-mmcv wheels with compiled operators are named in its '
    'README; with a C++ compiler, `pip install --no-build-isolation '
    '--no-binary onedl-mmcv --force-reinstall --no-deps onedl-mmcv` builds '
    'them for the torch that is installed.')

IMPLEMENTED = dict(
    bbox_overlaps=nms.bbox_overlaps,
    deform_conv_backward_input=deform_conv_ext.deform_conv_backward_input,
    deform_conv_backward_parameters=(
        deform_conv_ext.deform_conv_backward_parameters),
    deform_conv_forward=deform_conv_ext.deform_conv_forward,
    modulated_deform_conv_backward=(
        deform_conv_ext.modulated_deform_conv_backward),
    modulated_deform_conv_forward=(
        deform_conv_ext.modulated_deform_conv_forward),
    nms=nms.nms,
    nms_match=nms.nms_match,
    roi_align_backward=roi_align.roi_align_backward,
    roi_align_forward=roi_align.roi_align_forward,
    sigmoid_focal_loss_backward=focal_loss.sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward=focal_loss.sigmoid_focal_loss_forward,
    softnms=nms.softnms,
)


def _version() -> str:
    """Return what stands in for the version of a compiler."""
    return 'none (pure-PyTorch operators of mmseghead)'


class _NoLoader(Loader):
    """Loader of a module that exists already.

    `importlib.util.find_spec` and `pkgutil`, by which mmengine and mmcv ask
    whether operators exist, need a module to have one.
    """

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the one stand-in."""
        return STAND_IN

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: the stand-in is complete."""


def _missing(name: str) -> Callable:
    """Return an operator that says that it does not exist."""

    def operator(*args, **kwargs) -> NoReturn:
        raise NotImplementedError(
            f'`{name}` of {NAME} has no pure-PyTorch version in mmseghead '
            f'(there is: {", ".join(IMPLEMENTED)}). {HOW_TO_COMPILE}')

    operator.__name__ = operator.__qualname__ = name
    return operator


def _getattr(name: str) -> Callable:
    """Return a failing operator for any public name.

    mmcv asks for the names of all operators while `mmcv.ops` is imported,
    and each version has its own list.
    """
    if name.startswith('_'):
        raise AttributeError(f'module {NAME!r} has no attribute {name!r}')
    return _missing(name)


def _build() -> ModuleType:
    """Return a new stand-in."""
    module = ModuleType(NAME, 'Pure-PyTorch operators of mmseghead.')
    module.__spec__ = ModuleSpec(NAME, _NoLoader(), origin='mmseghead.ops')
    module.__loader__ = module.__spec__.loader
    module.__package__ = 'mmcv'
    vars(module).update(
        IMPLEMENTED,
        get_compiler_version=_version,
        get_compiling_cuda_version=_version)
    module.__getattr__ = _getattr
    return module


STAND_IN = _build()
