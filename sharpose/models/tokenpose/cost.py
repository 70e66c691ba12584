"""TokenPose in closed form."""

from __future__ import annotations

import math

from sharpose.models.hrnet.cost import convolutional_layers, trunk
from sharpose.models.layers.cost import Cost, block, half, layer_norm, linear
from sharpose.models.tokenpose.config import TokenPoseConfig


def tokenpose(config: TokenPoseConfig) -> Cost:
    """Stem where there is one, patches, blocks over keypoint and patch tokens, head on the keypoint tokens."""
    image, widths = config.image_size, config.stem_widths
    cost, size, channels = Cost(), image, 3
    if widths:
        layers = convolutional_layers(widths, config.stem_blocks_per_branch)
        sizes = (config.stem_channels, config.stem_stage1_blocks, config.stem_stage1_planes)
        cost = trunk(image, *sizes, widths, config.stem_modules, layers)
        size, channels = half(half(image)), widths[0]
    patch, dim, keypoints = config.patch_size, config.embed_dim, config.num_keypoints
    patches = math.prod(size) // math.prod(patch)
    cost += linear(channels * math.prod(patch), dim, patches) + Cost(0, 0, (patches + keypoints) * dim)
    cost += block(dim, config.mlp_ratio, keypoints + patches, keypoints + patches, qkv_bias=False) * (
        config.stacks * config.depth
    )
    return cost + token_head(config)


def token_head(config: TokenPoseConfig) -> Cost:
    """Return the cost of the head, of one linear layer or two, from the keypoint tokens of all stacks."""
    keypoints, pixels = config.num_keypoints, math.prod(config.heatmap_size)
    dim, hidden = config.stacks * config.embed_dim, pixels // 8
    cost = layer_norm(dim, keypoints)
    if config.head == "single" or (config.head == "auto" and dim > hidden / 2):
        return cost + linear(dim, pixels, keypoints)
    return cost + linear(dim, hidden, keypoints) + layer_norm(hidden, keypoints) + linear(hidden, pixels, keypoints)
