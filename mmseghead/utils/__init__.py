"""Names, environment and records; no tensors."""
from .files import atomic_write, sha256_of
from .setup_env import register_all_modules

__all__ = ['atomic_write', 'register_all_modules', 'sha256_of']
