"""Fake inputs and builders for tests."""
from .paths import shared_data, shared_dir
from .samples import fake_batch, fake_sample, without_pretrained

__all__ = [
    'fake_batch', 'fake_sample', 'shared_data', 'shared_dir',
    'without_pretrained'
]
