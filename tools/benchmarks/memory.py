"""How much memory a call needs."""
import itertools
from typing import Callable

import torch


def peak_mib(function: Callable[[], object]) -> float:
    """Return the most memory, in MiB, that torch held at once in a call.

    What was there before does not count.
    """
    with torch.profiler.profile(profile_memory=True) as profile:
        function()
    events = profile.profiler.kineto_results.events()
    steps = [e.nbytes() for e in events if e.name() == '[memory]']
    return max(itertools.accumulate(steps), default=0) / 2**20
