"""The transformer with coordinates in closed form."""

from __future__ import annotations

import math

from sharpose.models.layers.cost import Cost, blocks, embedding, grid, layer_norm, linear, with_keypoints
from sharpose.models.regression_vit.config import RegressionViTConfig


def regression_vit(config: RegressionViTConfig) -> Cost:
    """Three layers in place of the heatmap head; drawing maps around the points has no matmul."""
    dim, count = config.embed_dim, config.num_keypoints
    tokens = with_keypoints(config, [math.prod(grid(config))] * config.depth)
    head = layer_norm(dim, count) + linear(dim, dim, count) * 2 + linear(dim, 2, count)
    return embedding(config) + head + blocks(config, tokens, tokens)
