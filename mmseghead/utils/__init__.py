"""Names, environment and records; no tensors."""
from .checkpoints import read_checkpoint
from .fan_out import fan_out_classes
from .files import atomic_write, sha256_of
from .seeds import derive_seed
from .setup_env import register_all_modules
from .weights import find_weights

__all__ = [
    'atomic_write', 'derive_seed', 'fan_out_classes', 'find_weights',
    'read_checkpoint', 'register_all_modules', 'sha256_of'
]
