"""Deformable attention (Zhu et al., "Deformable DETR", ICLR 2021, eq. 3): queries read a few places of several maps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Sizes = Sequence[tuple[int, int]]
"""Rows and columns of every map, in the order in which their tokens follow each other."""


class DeformableAttention(nn.Module):
    """Every head of a query reads `points` places of each of `levels` maps, near the query's own place."""

    def __init__(self, dim: int, num_heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.num_heads, self.levels, self.points = num_heads, levels, points
        self.value = nn.Linear(dim, dim)
        self.offsets = nn.Linear(dim, num_heads * levels * points * 2)
        self.weights = nn.Linear(dim, num_heads * levels * points)
        self.proj = nn.Linear(dim, dim)
        self.reset()

    def reset(self) -> None:
        """Let every head at first look into a direction of its own, further with each point, and weigh all alike."""
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        angles = torch.arange(self.num_heads, dtype=torch.float32) * 2 * math.pi / self.num_heads
        directions = torch.stack([angles.cos(), angles.sin()], dim=1)
        steps = torch.arange(1, self.points + 1, dtype=torch.float32)
        ring = directions[:, None, None] * steps[:, None]
        with torch.no_grad():
            self.offsets.bias.copy_(ring.expand(-1, self.levels, -1, -1).flatten())

    def forward(
        self,
        queries: Float[Tensor, "B Q D"],
        places: Float[Tensor, "B Q 2"],
        memory: Float[Tensor, "B N D"],
        sizes: Sizes,
    ) -> Float[Tensor, "B Q D"]:
        """Read at `places`, (x, y) in fractions of a map, from edge to edge; outside of a map there are zeros."""
        heads, levels, points = self.num_heads, self.levels, self.points
        offsets = self.offsets(queries).unflatten(2, (heads, levels, points, 2))
        weights = self.weights(queries).unflatten(2, (heads, levels * points)).softmax(dim=3)
        weights = weights.unflatten(3, (levels, points)).permute(0, 2, 3, 1, 4).flatten(0, 1)
        values = self.value(memory).unflatten(2, (heads, -1)).permute(0, 2, 3, 1).flatten(0, 1)
        mixed, first = torch.zeros_like(values[..., :1]), 0
        for level, (rows, columns) in enumerate(sizes):
            maps = values[..., first : first + rows * columns].unflatten(2, (rows, columns))
            first += rows * columns
            found = places[:, :, None, None] + offsets[:, :, :, level] / offsets.new_tensor([columns, rows])
            grid = (2 * found - 1).transpose(1, 2).flatten(0, 1)
            read = F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
            mixed = mixed + (read * weights[:, None, level]).sum(dim=3)
        return self.proj(mixed.unflatten(0, (-1, heads)).permute(0, 3, 1, 2).flatten(2))
