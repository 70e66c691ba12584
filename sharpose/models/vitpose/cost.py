"""ViTPose in closed form."""

from __future__ import annotations

import math
from itertools import pairwise

from sharpose.models.layers.cost import (
    BILINEAR,
    Cost,
    blocks,
    convolution,
    doubling,
    grid,
    heatmaps,
    patch_embed,
    resize,
)
from sharpose.models.vitpose.config import ViTPoseConfig


def vitpose(config: ViTPoseConfig) -> Cost:
    """Patch tokens alone, their position table with a row too many, and the head."""
    patches = math.prod(grid(config))
    table = Cost(params=(1 + patches) * config.embed_dim)
    everywhere = [patches] * config.depth
    encoder = blocks(config, everywhere, everywhere)
    return (
        table
        + patch_embed(config)
        + encoder
        + (simple_head(config) if config.head == "simple" else deconv_head(config))
    )


def simple_head(config: ViTPoseConfig) -> Cost:
    """Bilinear resizing, one 3x3 convolution."""
    rows, columns = grid(config)
    size = rows * config.upsample, columns * config.upsample
    dim, maps = config.embed_dim, config.num_keypoints
    return resize(dim, size, BILINEAR) + convolution(dim, maps, 3, size, bias=True, norm=False)


def deconv_head(config: ViTPoseConfig) -> Cost:
    """Transposed convolutions, then a 1x1 convolution."""
    size, widths, cost = grid(config), [config.embed_dim, *config.deconv_filters], Cost()
    for inputs, outputs in pairwise(widths):
        cost += doubling(inputs, outputs, size)
        size = 2 * size[0], 2 * size[1]
    return cost + heatmaps(widths[-1], config.num_keypoints, size)
