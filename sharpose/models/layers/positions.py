"""DETR's fixed 2-D positions, which TokenPose, TransPose and the systems with keypoint queries share."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sine_table(grid: tuple[int, int], dim: int) -> Float[Tensor, "1 N D"]:
    """Return DETR's 2-D sine positions: the row's half, then the column's; sine and cosine alternate."""
    half = dim // 2
    wavelengths = 10000.0 ** (2 * (torch.arange(half, dtype=torch.float32) // 2) / half)

    def one_axis(length: int) -> Float[Tensor, "length half"]:
        angles = torch.arange(1, length + 1, dtype=torch.float32) / (length + 1e-6) * 2 * math.pi
        phases = angles[:, None] / wavelengths
        return torch.stack([phases[:, 0::2].sin(), phases[:, 1::2].cos()], dim=2).flatten(1)

    rows, columns = one_axis(grid[0]), one_axis(grid[1])
    table = torch.cat([rows[:, None].expand(-1, grid[1], -1), columns[None].expand(grid[0], -1, -1)], dim=2)
    return table.flatten(0, 1)[None]
