"""EViT in closed form."""

from __future__ import annotations

import math

from sharpose.models.evit.config import EViTConfig
from sharpose.models.layers.cost import Cost, around, blocks, grid, with_keypoints


def evit(config: EViTConfig) -> Cost:
    """Reduced between attention and MLP, so the count changes inside a block."""
    where = list(config.reduction_blocks)
    rates = config.keep_rates or [config.keep_rate] * len(where)
    counts = [math.prod(grid(config))]
    for index in range(config.depth):
        kept = math.ceil(rates[where.index(index)] * counts[-1]) if index in where else counts[-1]
        counts.append(kept + 1 if kept < counts[-1] and config.fuse_token else kept)
    tokens = with_keypoints(config, counts)
    return around(config) + blocks(config, tokens[:-1], tokens[1:])
