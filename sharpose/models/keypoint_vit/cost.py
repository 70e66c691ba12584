"""The plain transformer with keypoint tokens in closed form."""

from __future__ import annotations

import math

from sharpose.models.keypoint_vit.config import KeypointViTConfig
from sharpose.models.layers.cost import Cost, around, blocks, grid, with_keypoints


def keypoint_vit(config: KeypointViTConfig) -> Cost:
    """Nothing is dropped."""
    patches = math.prod(grid(config))
    tokens = with_keypoints(config, [patches] * config.depth)
    return around(config) + blocks(config, tokens, tokens)
