"""TFPose in closed form."""

from __future__ import annotations

import math

from sharpose.models.layers.cost import (
    Cost,
    attention,
    convolution,
    deformable,
    layer_norm,
    linear,
)
from sharpose.models.simple_baseline.config import RESNETS
from sharpose.models.simple_baseline.cost import resnet
from sharpose.models.tfpose.config import TFPoseConfig


def tfpose(config: TFPoseConfig) -> Cost:
    """ResNet, its maps at one width, the layers of encoder and decoder, and a head for each of the latter."""
    dim, keypoints, sizes = config.embed_dim, config.num_keypoints, config.level_sizes
    tokens, samples = sum(map(math.prod, sizes)), config.levels * config.points
    sampling = {"samples": samples, "num_heads": config.num_heads}
    cost = resnet(config.image_size, config.resnet_depth, config.stem_channels, config.resnet_channels)[0]
    expansion = 4 if RESNETS[config.resnet_depth][0] == "bottleneck" else 1
    coarsest = 8 * config.resnet_channels * expansion
    widths = [coarsest // 2**index for index in reversed(range(config.levels))]
    for width, size in zip(widths, sizes, strict=True):
        cost += convolution(width, dim, 1, size, bias=True, norm=False) + layer_norm(dim, math.prod(size))
    cost += Cost(params=(tokens + config.levels + 2 * keypoints) * dim) + linear(dim, 2, keypoints)
    encoder = deformable(dim, tokens, tokens, **sampling) + mlp(config, tokens) + layer_norm(dim, tokens) * 2
    decoder = attention(dim, keypoints, keypoints) + deformable(dim, keypoints, tokens, **sampling)
    decoder += mlp(config, keypoints) + layer_norm(dim, keypoints) * 3
    head = linear(dim, dim, keypoints) * 2 + linear(dim, 2, keypoints)
    return cost + encoder * config.encoder_depth + (decoder + head) * config.decoder_depth


def mlp(config: TFPoseConfig, tokens: int) -> Cost:
    """Count an MLP of two layers over `tokens`."""
    dim, hidden = config.embed_dim, config.hidden_dim
    return linear(dim, hidden, tokens) + linear(hidden, dim, tokens)
