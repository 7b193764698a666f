"""Samplers whose samples bring their own randomness along."""
import contextlib
import random
from typing import Any, Iterator

import numpy as np
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler

from mmseghead.registry import DATA_SAMPLERS
from mmseghead.utils.seeds import derive_seed


class SeededIndex(int):
    """A sample's index that carries the seed of its augmentation."""

    seed: int

    def __new__(cls, index: int, seed: int) -> 'SeededIndex':
        self = super().__new__(cls, index)
        self.seed = seed
        return self

    def __getnewargs__(self) -> tuple:  # how pickle calls __new__
        return int(self), self.seed


@contextlib.contextmanager
def seeded(index: int) -> Iterator[None]:
    """Draw from the index's own seed inside, and as before afterwards.

    A plain integer changes nothing.
    """
    if not isinstance(index, SeededIndex):
        yield
        return
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(index.seed)
    np.random.seed(index.seed % 2**32)
    torch.manual_seed(index.seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


class SeededDrawMixin:
    """A data set that augments each sample from the seed of its index.

    Put it before the data set's class. With one of the samplers below, the
    pixels of a sample depend on (seed, epoch or draw, index) only: not on
    the number of workers, nor on whether the run was resumed.
    """

    def __getitem__(self, idx: int) -> Any:
        with seeded(idx):
            return super().__getitem__(int(idx))


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """mmengine's ``DefaultSampler``, yielding seeded indices."""

    def __iter__(self) -> Iterator[int]:
        for index in super().__iter__():
            seed = derive_seed(self.seed, self.epoch, index)
            yield SeededIndex(index, seed)


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(InfiniteSampler):
    """mmengine's ``InfiniteSampler``, yielding seeded indices."""

    def _infinite_indices(self) -> Iterator[int]:
        for draw, index in enumerate(super()._infinite_indices()):
            yield SeededIndex(index, derive_seed(self.seed, draw, index))
