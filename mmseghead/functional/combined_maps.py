"""Score maps that exist only while they are read.

Legend: n maps, k of them at a time, h/w of a map, C channels.
"""
from typing import Callable, Dict, Iterator, Optional, Tuple

import torch
from torch import Tensor

from mmseghead.utils.mask_budget import mask_budget_bytes

# Cells of the maps that are combined at once, at least _MIN_ROWS maps.
_CELLS_PER_BLOCK = 2**23
_MIN_ROWS = 8


class CombinedMaps:
    """n maps, each a combination of what all of them share.

    They are combined in blocks that depend on n and on the size of a map
    alone: products of matrices of other sizes would round differently, and
    the memory budget must not change a bit. Blocks are kept if they fit a
    quarter of the budget, and combined anew if not.

    Args:
        combine: Makes the maps of some rows, (k,) int64 -> (k, h, w).
        rows: (n,) int64, what ``combine`` is called with.
        shape: (h, w).
    """

    def __init__(self, combine: Callable[[Tensor], Tensor], rows: Tensor,
                 shape: Tuple[int, int]) -> None:
        self.shape = shape
        self._combine = combine
        cells = shape[0] * shape[1]
        count = max(_CELLS_PER_BLOCK // max(cells, 1), _MIN_ROWS)
        # Even blocks: none of a single map, unless there is no other.
        number = max(-(-len(rows) // count), 1)
        self._blocks = rows.tensor_split(number)
        ends = torch.tensor([len(block) for block in self._blocks]).cumsum(0)
        self._begins = torch.cat((ends.new_zeros(1), ends)).tolist()
        budget = mask_budget_bytes()
        self._keeps = budget is None or 4 * cells * len(rows) <= budget // 4
        self._kept: Dict[int, Tensor] = {}

    def __len__(self) -> int:
        return self._begins[-1]

    def block(self, index: int) -> Tensor:
        """Return the (k, h, w) maps of one block."""
        if index in self._kept:
            return self._kept[index]
        if not self._keeps:
            self._kept.clear()  # one block stays: neighbours read it again
        self._kept[index] = self._combine(self._blocks[index])
        return self._kept[index]

    def blocks(self) -> Iterator[Tensor]:
        """Yield all maps, block by block."""
        for index in range(len(self._blocks)):
            yield self.block(index)

    def read(self, inds: Tensor, step: Optional[int] = None
             ) -> Iterator[Tensor]:
        """Yield the maps of (m,) ascending indices, (k, h, w) at a time.

        Args:
            inds: Which maps.
            step: Upper limit of k; none if None.
        """
        for index, begin in enumerate(self._begins[:-1]):
            own = inds[(inds >= begin) & (inds < self._begins[index + 1])]
            if len(own):
                maps = self.block(index)
                for part in own.split(step or len(own)):
                    yield maps[part - begin]
