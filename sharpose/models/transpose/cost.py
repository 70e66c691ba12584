"""TransPose in closed form."""

from __future__ import annotations

import math

from sharpose.models.hrnet.cost import convolutional_layers, trunk
from sharpose.models.layers.cost import Cost, Size, convolution, doubling, encoder_layer, half, heatmaps
from sharpose.models.simple_baseline.cost import resnet
from sharpose.models.transpose.config import TransPoseConfig


def transpose(config: TransPoseConfig) -> Cost:
    """Stem, a 1x1 convolution to the layers' width, layers, one doubling behind a ResNet, 1x1 convolution."""
    cost, channels, size = stem(config)
    dim, tokens = config.embed_dim, math.prod(size)
    cost += convolution(channels, dim, 1, size, norm=False) + Cost(params=tokens * dim)
    cost += encoder_layer(dim, config.hidden_dim, tokens) * config.depth
    if not config.stem_widths:
        cost += doubling(dim, dim, size)
    return cost + heatmaps(dim, config.num_keypoints, half(half(config.image_size)))


def stem(config: TransPoseConfig) -> tuple[Cost, int, Size]:
    """What comes before the layers, with the channels and the size of what it gives."""
    image, widths = config.image_size, config.stem_widths
    if not widths:
        return resnet(image, config.resnet_depth, config.stem_channels, config.resnet_channels, stages=2)
    layers = convolutional_layers(widths, config.stem_blocks_per_branch)
    sizes = (config.stem_channels, config.stem_stage1_blocks, config.stem_stage1_planes)
    return trunk(image, *sizes, widths, config.stem_modules, layers), widths[0], half(half(image))
