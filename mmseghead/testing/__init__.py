"""Fake inputs and builders for tests."""
from .paths import shared_data, shared_dir
from .samples import (fake_batch, fake_sample, find_nothing, make_eager,
                      without_pretrained)

__all__ = [
    'fake_batch', 'fake_sample', 'find_nothing', 'make_eager', 'shared_data',
    'shared_dir', 'without_pretrained'
]
