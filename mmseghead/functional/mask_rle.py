"""Masks as COCO's run-length codes (RLE).

Legend: n masks, H/W height and width of the image, h/w of a window in it. An
RLE is a dict of ``size`` [H, W] and ``counts``, the compressed bytes of
``pycocotools.mask``.
"""
from typing import Any, Dict, Iterator, List, Sequence, Tuple, Union

import numpy as np
import torch
from pycocotools import mask as mask_util
from torch import Tensor

RLE = Dict[str, Any]


def encode_window(mask: np.ndarray, top: int, left: int,
                  size: Tuple[int, int]) -> RLE:
    """Encode a mask that is false outside of a window.

    Costs time and memory for the window only, and gives the same bytes as
    ``pycocotools.mask.encode`` of the whole image.

    Args:
        mask: (h, w) bool, what is in the window.
        top: First row of the window.
        left: First column.
        size: (H, W) of the image, which holds the window.
    """
    height, width = size
    rows, columns = mask.shape
    # Runs go down the columns. A zero behind each column ends its run there.
    padded = np.zeros((columns, rows + 1), np.int8)
    padded[:, :rows] = mask.T
    edges = np.flatnonzero(np.diff(padded.ravel(), prepend=np.int8(0)))
    x, y = np.divmod(edges, rows + 1)
    places = ((x + left) * height + y + top).reshape(-1, 2)  # begin, end
    if rows == height and len(places):
        # A run may go on at the top of the next column.
        apart = places[1:, 0] != places[:-1, 1]
        places = np.stack((places[np.append(True, apart), 0],
                           places[np.append(apart, True), 1]), 1)
    ends = places.ravel()
    if not len(ends) or ends[-1] < height * width:
        ends = np.append(ends, height * width)
    counts = np.diff(ends, prepend=0).tolist()
    return mask_util.frPyObjects(
        dict(size=[height, width], counts=counts), height, width)


def encode_mask(mask: Union[Tensor, np.ndarray]) -> RLE:
    """Encode an (H, W) bool mask; only its bounding box is moved and read."""
    size = int(mask.shape[0]), int(mask.shape[1])
    rows = _true(mask.any(1))
    if not len(rows):
        return encode_window(np.zeros((1, 1), bool), 0, 0, size)
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    columns = _true(mask[top:bottom].any(0))
    left, right = int(columns[0]), int(columns[-1]) + 1
    window = mask[top:bottom, left:right]
    if isinstance(window, Tensor):
        window = window.cpu().numpy()
    return encode_window(window, top, left, size)


def _true(flags: Union[Tensor, np.ndarray]) -> np.ndarray:
    if isinstance(flags, Tensor):
        flags = flags.cpu().numpy()
    return np.flatnonzero(flags)


def place_rle(rle: RLE, top: int, left: int, size: Tuple[int, int]) -> RLE:
    """Move a mask into a larger image.

    Args:
        rle: Mask of a part of the image.
        top: Row of the image where the part begins.
        left: Column.
        size: (H, W) of the image, which holds the part.
    """
    x, y, width, height = mask_util.toBbox(rle).astype(int)
    window = mask_util.decode(rle)[y:y + height, x:x + width]
    if not window.size:
        window = np.zeros((1, 1), bool)
    return encode_window(window, top + y, left + x, size)


class EncodedMasks:
    """Masks of an image as RLEs, where a tensor of them would be too large.

    Stands for a bool tensor (n, H, W) in ``InstanceData.masks``: it has a
    ``shape`` and a length, is indexed by rows, joined by ``InstanceData.cat``
    and moved between devices without effect. One mask is an RLE, several are
    ``EncodedMasks``.

    Args:
        rles: One an instance.
        size: (H, W) in pixels; that of the RLEs.
    """

    def __init__(self, rles: Sequence[RLE], size: Tuple[int, int]) -> None:
        self.rles: List[RLE] = list(rles)
        self.size = int(size[0]), int(size[1])

    @property
    def shape(self) -> Tuple[int, int, int]:
        """(n, H, W), as of a tensor."""
        return (len(self.rles), *self.size)

    def __len__(self) -> int:
        return len(self.rles)

    def __iter__(self) -> Iterator[RLE]:
        return iter(self.rles)

    def __repr__(self) -> str:
        return f'EncodedMasks(shape={self.shape})'

    def __getitem__(self, item: Any) -> Union[RLE, 'EncodedMasks']:
        if isinstance(item, slice):
            return EncodedMasks(self.rles[item], self.size)
        if isinstance(item, Tensor):
            item = item.cpu().numpy()
        item = np.asarray(item)
        if item.ndim == 0 and item.dtype != bool:
            return self.rles[int(item)]
        rows = np.arange(len(self))[item if item.size else slice(0)]
        return EncodedMasks([self.rles[row] for row in rows], self.size)

    @staticmethod
    def cat(parts: Sequence['EncodedMasks']) -> 'EncodedMasks':
        """Join the masks of one image."""
        return EncodedMasks([rle for part in parts for rle in part],
                            parts[0].size)

    def decode(self, row: int) -> np.ndarray:
        """Return one mask, (H, W) bool."""
        return mask_util.decode(self.rles[row]).astype(bool)

    def boxes(self) -> Tensor:
        """Return (n, 4) float32 tight boxes; zeros for an empty mask."""
        if not self.rles:
            return torch.zeros(0, 4)
        boxes = torch.from_numpy(mask_util.toBbox(self.rles)).float()
        return torch.cat((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)

    def numpy(self) -> np.ndarray:
        """Return all masks, (n, H, W) bool: what was too large before."""
        masks = np.zeros(self.shape, bool)
        for row in range(len(self)):
            masks[row] = self.decode(row)
        return masks

    def astype(self, dtype: Any) -> np.ndarray:
        """Return all masks as an array, for code that expects one."""
        return self.numpy().astype(dtype, copy=False)

    def to_tensor(self) -> Tensor:
        """Return all masks, (n, H, W) bool, on the CPU."""
        return torch.from_numpy(self.numpy())

    def to(self, *args: Any, **kwargs: Any) -> 'EncodedMasks':
        """Return itself: codes live on no device."""
        return self

    cpu = cuda = detach = to


def to_rles(masks: Union[Tensor, np.ndarray, EncodedMasks]) -> List[RLE]:
    """Return the RLEs of masks in whichever form a head gives them."""
    if isinstance(masks, EncodedMasks):
        return list(masks)
    return [encode_mask(mask) for mask in masks]


def decoded(masks: Union[Tensor, np.ndarray, EncodedMasks]
            ) -> Iterator[np.ndarray]:
    """Yield (H, W) bool arrays, one at a time, of masks in either form."""
    for row, mask in enumerate(masks):
        if isinstance(masks, EncodedMasks):
            yield masks.decode(row)
        else:
            yield np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask,
                             bool)
