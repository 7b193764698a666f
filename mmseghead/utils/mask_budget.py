"""How much memory the making of masks may take: one number a process."""
import contextlib
import math
from typing import Iterator, Optional

#: MiB for one image, unless a config's `mask_budget_mib` says otherwise.
DEFAULT_MASK_BUDGET_MIB = 512.

_budget_mib: Optional[float] = DEFAULT_MASK_BUDGET_MIB


def set_mask_budget(mib: Optional[float]) -> None:
    """Say how much memory the masks of an image may take while they are made.

    All heads obey it. Half of it is for the result and half for the work:
    masks that fit are a bool tensor, others are encoded as they are made
    (``EncodedMasks``). Pixels do not depend on it. What the network itself
    puts out is not counted, and one mask at a time is the least that a head
    makes, whatever it takes.

    Args:
        mib: MiB, finite and at least 0 (masks are always encoded, one by
            one); None: no limit.

    Raises:
        TypeError: if it is no number.
        ValueError: if it is negative or not finite.
    """
    if mib is not None:
        if isinstance(mib, bool) or not isinstance(mib, (int, float)):
            raise TypeError('`mask_budget_mib` must be a number of MiB, or '
                            f'None for no limit, got {mib!r}.')
        if not math.isfinite(mib) or mib < 0:
            raise ValueError('`mask_budget_mib` must be finite and >= 0, or '
                             f'None for no limit, got {mib!r}.')
    global _budget_mib
    _budget_mib = mib


def mask_budget_bytes() -> Optional[int]:
    """Return the budget in bytes; None: no limit."""
    return None if _budget_mib is None else int(_budget_mib * 2**20)


@contextlib.contextmanager
def mask_budget(mib: Optional[float]) -> Iterator[None]:
    """Set the budget inside of the block; see `set_mask_budget`."""
    before = _budget_mib
    set_mask_budget(mib)
    try:
        yield
    finally:
        set_mask_budget(before)
