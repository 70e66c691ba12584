"""DynamicViT in closed form."""

from __future__ import annotations

import math
from itertools import pairwise

from sharpose.models.dynamicvit.config import DynamicViTConfig
from sharpose.models.layers.cost import Cost, around, blocks, grid, layer_norm, linear, total, with_keypoints


def dynamicvit(config: DynamicViTConfig) -> Cost:
    """A predictor on the patches present before each reduction; shares are of the original patches."""
    original, dim = math.prod(grid(config)), config.embed_dim
    where = list(config.reduction_blocks)
    ratios = config.token_ratios or [config.keep_rate ** (stage + 1) for stage in range(len(where))]
    patches, counts, predictors = original, [], Cost()
    for index in range(config.depth):
        if index in where:
            predictors += predictor(dim, patches)
            patches = int(original * ratios[where.index(index)])
        counts.append(patches)
    tokens = with_keypoints(config, counts)
    return around(config) + predictors + blocks(config, tokens, tokens)


def predictor(dim: int, patches: int) -> Cost:
    """Norm, one layer of the full width, three that halve it to two scores."""
    widths = [dim, dim // 2, dim // 4, 2]
    layers = [linear(inputs, outputs, patches) for inputs, outputs in pairwise(widths)]
    return layer_norm(dim, patches) + linear(dim, dim, patches) + total(layers)
