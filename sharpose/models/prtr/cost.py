"""PRTR in closed form; reading queries out has no matmul."""

from __future__ import annotations

import math

from sharpose.models.hrnet.cost import convolutional_layers, trunk
from sharpose.models.layers.cost import (
    Cost,
    Size,
    bottleneck,
    convolution,
    decoder_layer,
    encoder_layer,
    half,
    layer_norm,
    linear,
)
from sharpose.models.prtr.config import PRTRConfig
from sharpose.models.simple_baseline.cost import resnet


def prtr(config: PRTRConfig) -> Cost:
    """Backbone, encoder and decoder, and the heads of every decoder layer, which all count."""
    cost, channels, size = backbone(config)
    dim, queries, tokens = config.embed_dim, config.num_queries, math.prod(size)
    cost += convolution(channels, dim, 1, size, bias=True, norm=False) + Cost(params=(queries + tokens) * dim)
    cost += encoder_layer(dim, config.hidden_dim, tokens) * config.encoder_depth
    cost += decoder_layer(dim, config.hidden_dim, queries, tokens) * config.decoder_depth
    heads = layer_norm(dim, queries) + linear(dim, config.num_keypoints + 1, queries)
    heads += linear(dim, dim, queries) * 2 + linear(dim, 2, queries)
    # shared, so their parameters count once
    return cost + Cost(heads.macs * config.decoder_depth, heads.elements * config.decoder_depth, heads.params)


def backbone(config: PRTRConfig) -> tuple[Cost, int, Size]:
    """What comes before the transformer, with the channels and the size of what it gives."""
    image, widths = config.image_size, config.widths
    if not widths:
        return resnet(image, config.resnet_depth, config.stem_channels, config.resnet_channels)
    layers = convolutional_layers(widths, config.blocks_per_branch)
    sizes = (config.stem_channels, config.stage1_blocks, config.stage1_planes)
    cost, size = trunk(image, *sizes, widths, config.modules, layers, every_branch=True), half(half(image))
    for index, width in enumerate(widths):
        planes = config.merge_planes * 2**index
        if index:
            size = half(size)
            cost += convolution(2 * planes, 4 * planes, 3, size, bias=True)
        cost += bottleneck(width, planes, size, size)
    last = 4 * config.merge_planes * 2 ** (len(widths) - 1)
    return cost + convolution(last, config.merged_channels, 1, size, bias=True), config.merged_channels, size
