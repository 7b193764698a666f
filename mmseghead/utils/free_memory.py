"""How much memory a device has left."""
from pathlib import Path
from typing import Optional

import torch


def free_bytes(device: torch.device) -> Optional[int]:
    """Return how many bytes a program may still take on a device.

    Args:
        device: A GPU, or the CPU for the machine's memory.

    Returns:
        Bytes; None where the system does not say.
    """
    if device.type == 'cuda':
        return torch.cuda.mem_get_info(device)[0]
    info = Path('/proc/meminfo')
    if device.type != 'cpu' or not info.exists():
        return None
    for line in info.read_text().splitlines():
        if line.startswith('MemAvailable:'):
            return int(line.split()[1]) * 1024
    return None
