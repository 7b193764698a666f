"""Codes that tell a cell where it lies in its map.

Source: "Attention Is All You Need", arXiv:1706.03762, section 3.5, in two
dimensions.
"""
import torch
from torch import Tensor


def sine_position_code(size: int,
                       channels: int,
                       temperature: float = 10000.) -> Tensor:
    """Return sines and cosines of the positions of a square map's cells.

    With u in (0, 1) the centre of a cell and j from 0 to ``channels`` / 4 - 1
    the angles are 2 pi u / temperature ** (4 j / ``channels``).

    Args:
        size: Cells per side.
        channels: A multiple of 4: sines of x, cosines of x, sines of y,
            cosines of y.
        temperature: Ratio of the longest to the shortest wave.

    Returns:
        (channels, size, size) float32, on the CPU.

    Raises:
        ValueError: if ``channels`` is no multiple of 4.
    """
    if channels < 4 or channels % 4:
        raise ValueError('`channels` of sine_position_code must be a positive '
                         f'multiple of 4, got {channels!r}.')
    waves = channels // 4
    centers = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    powers = torch.arange(waves, dtype=torch.float64) / waves
    angles = 2 * torch.pi * centers / temperature**powers[:, None]  # (J, S)
    along = torch.cat([angles.sin(), angles.cos()])  # (C / 2, S)
    across = along[:, None, :].expand(-1, size, -1)  # varies with x
    down = along[:, :, None].expand(-1, -1, size)
    return torch.cat([across, down]).float()
