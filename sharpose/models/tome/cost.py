"""ToMe in closed form."""

from __future__ import annotations

import math

from sharpose.models.layers.cost import Cost, around, grid, merging_blocks
from sharpose.models.tome.config import ToMeConfig


def tome(config: ToMeConfig) -> Cost:
    """Merges fall or rise linearly from block to block, or are given."""
    depth = config.depth
    first = int(config.merges * (1 - config.inflection))
    slope = 2 * (config.merges - first) / max(depth - 1, 1)
    schedule = config.merges_per_block or [int(first + slope * index) for index in range(depth)]
    return around(config) + merging_blocks(config, math.prod(grid(config)), schedule)
