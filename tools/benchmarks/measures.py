"""How long calls take, and how much memory they need."""
import itertools
import time
from typing import Any, Callable, Dict, Tuple

import torch


def in_turns(repeats: int, device: torch.device,
             **functions: Callable[[], Any]) -> Tuple[Dict, Dict]:
    """Call functions in turns, so that all see the same load.

    Args:
        repeats: Turns.
        device: Where they compute. A CPU's times are computed time of all
            threads, as other programs may run.
        functions: What to call, by name.

    Returns:
        The shortest time of each in ms, and what each returned last.
    """
    on_cpu = device.type == 'cpu'
    clock = time.process_time if on_cpu else time.perf_counter
    best, results = dict.fromkeys(functions, float('inf')), {}
    for _ in range(repeats):
        for name, function in functions.items():
            start = clock()
            results[name] = function()
            if not on_cpu:
                torch.cuda.synchronize()
            best[name] = min(best[name], 1e3 * (clock() - start))
    return best, results


def peak_mib(function: Callable[[], Any]) -> float:
    """Return the most memory, in MiB, that torch held at once in a call.

    What was there before does not count.
    """
    with torch.profiler.profile(profile_memory=True) as profile:
        function()
    events = profile.profiler.kineto_results.events()
    steps = [e.nbytes() for e in events if e.name() == '[memory]']
    return max(itertools.accumulate(steps), default=0) / 2**20
