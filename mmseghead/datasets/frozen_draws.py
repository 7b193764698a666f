"""Samples whose random augmentation never changes."""
from typing import Any, Optional, Sequence

from torch.utils.data import Dataset

from mmseghead.utils.seeds import derive_seed
from .seeded_sampler import SeededIndex, seeded


class FrozenDraws(Dataset):
    """A data set in which each sample has draws of its own, always the same.

    Crops and flips of a sample depend on its index alone: not on the epoch,
    the order, or what was drawn before, and nothing that is drawn later
    changes. Works for data sets of any kind.

    Args:
        dataset: The data set.
        seed: Of all samples.
        indices: Which samples, in this order; all if None.
    """

    def __init__(self,
                 dataset: Any,
                 seed: int = 0,
                 indices: Optional[Sequence[int]] = None) -> None:
        self.dataset = dataset
        self.seed = seed
        self.indices = range(len(dataset)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, position: int) -> Any:
        index = int(self.indices[position])
        drawn = SeededIndex(index, derive_seed(self.seed, index))
        # The index takes its seed along: ours seed themselves with it.
        with seeded(drawn):
            return self.dataset[drawn]
