"""Pure-PyTorch operators for mmcv installations without compiled ones."""


def install() -> str:
    """Select the ops backend and return its name."""
    return 'compiled'
