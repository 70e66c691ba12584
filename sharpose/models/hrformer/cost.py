"""HRFormer in closed form."""

from __future__ import annotations

import math

from sharpose.models.hrformer.config import HRFormerConfig
from sharpose.models.hrnet.cost import Layers, parallel_net
from sharpose.models.layers.cost import BILINEAR, Cost, Size, convolution, layer_norm, linear, resize


def hrformer(config: HRFormerConfig) -> Cost:
    """Return the cost of a forward pass of one image."""

    def branch(index: int, size: Size) -> Cost:
        block = window_block(config.widths[index], config.num_heads[index], size, config)
        return block * config.blocks_per_branch

    def up(before: int, after: int, small: Size, large: Size) -> Cost:
        factor = round(large[0] / small[0])
        reached = (small[0] * factor, small[1] * factor)
        cost = convolution(before, after, 1, small) + resize(after, reached, BILINEAR)
        return cost if reached == large else cost + resize(after, large, BILINEAR)

    def down(before: int, after: int, size: Size) -> Cost:
        return convolution(before, before, 3, size, groups=before) + convolution(before, after, 1, size)

    return parallel_net(config, Layers(branch, up, down))


def window_block(dim: int, heads: int, size: Size, config: HRFormerConfig) -> Cost:
    """Attention in windows over the padded map, then three convolutions."""
    window, hidden = config.window_size, config.mlp_ratio * dim
    padded = math.prod(math.ceil(side / window) * window for side in size)
    attention = linear(dim, dim, padded) * 4 + Cost(2 * padded * window**2 * dim, 0, (2 * window - 1) ** 2 * heads)
    mlp = convolution(dim, hidden, 1, size, bias=True) + convolution(hidden, dim, 1, size, bias=True)
    mlp += convolution(hidden, hidden, 3, size, groups=hidden, bias=True)
    return layer_norm(dim, math.prod(size)) * 2 + attention + mlp
