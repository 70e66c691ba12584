"""Stacked hourglasses in closed form."""

from __future__ import annotations

from sharpose.models.layers.cost import (
    NEAREST,
    Cost,
    Size,
    batch_norm,
    convolution,
    half,
    heatmaps,
    linear,
    resize,
    total,
)
from sharpose.models.okdhp.config import OkdhpConfig


def okdhp(config: OkdhpConfig) -> Cost:
    """Stem and stacks; with more than one branch also the branches' own stacks and the weights of the ensemble."""
    width, keypoints, branches = config.features, config.num_keypoints, config.branches
    size = half(config.image_size)
    cost = convolution(3, width // 4, 7, size, bias=True) + residual(width // 4, width // 4, size)
    size = half(size)
    cost += residual(width // 2, width // 2, size) + residual(width, width // 2, size)
    own = 2 if branches > 1 else 0
    shared = config.stacks - own
    cost += stack(config, size) * shared + handed_on(config, size) * (shared if own else shared - 1)
    if own:
        cost += (stack(config, size) * own + handed_on(config, size) * (own - 1)) * branches
        cost += total([convolution(width, width, kernel, size, bias=True) for kernel in (3, 5, 7)])
        squeezed = config.ensemble_hidden
        cost += linear(width, squeezed, 1) + linear(squeezed, keypoints, 1) * branches
    return cost


def residual(inputs: int, planes: int, size: Size) -> Cost:
    """Bottleneck with norms before its convolutions, to twice `planes`."""
    cost = batch_norm(inputs, size) + convolution(inputs, planes, 1, size, bias=True)
    cost += convolution(planes, planes, 3, size, bias=True)
    cost += convolution(planes, 2 * planes, 1, size, bias=True, norm=False)
    changes = inputs != 2 * planes
    return cost + convolution(inputs, 2 * planes, 1, size, bias=True, norm=False) if changes else cost


def stack(config: OkdhpConfig, size: Size) -> Cost:
    """One hourglass, its residual, its 1x1 convolution and its heatmaps."""
    width = config.features
    cost = residual(width, width // 2, size) + convolution(width, width, 1, size, bias=True)
    cost += heatmaps(width, config.num_keypoints, size)
    for _ in range(config.depth):
        small = (size[0] // 2, size[1] // 2)
        cost += (
            residual(width, width // 2, size) + residual(width, width // 2, small) * 2 + resize(width, size, NEAREST)
        )
        size = small
    return cost + residual(width, width // 2, size)


def handed_on(config: OkdhpConfig, size: Size) -> Cost:
    """Features and heatmaps added to what the next stack starts from."""
    width = config.features
    features = convolution(width, width, 1, size, bias=True, norm=False)
    return features + convolution(config.num_keypoints, width, 1, size, bias=True, norm=False)
