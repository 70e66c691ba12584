"""Hourglasses in closed form. A `config` has `features`, `depth` and `num_keypoints`."""

from __future__ import annotations

from typing import Any

from sharpose.models.layers.cost import NEAREST, Cost, Size, batch_norm, convolution, heatmaps, resize


def residual(inputs: int, planes: int, size: Size) -> Cost:
    """Bottleneck with norms before its convolutions, to twice `planes`."""
    cost = batch_norm(inputs, size) + convolution(inputs, planes, 1, size, bias=True)
    cost += convolution(planes, planes, 3, size, bias=True)
    cost += convolution(planes, 2 * planes, 1, size, bias=True, norm=False)
    changes = inputs != 2 * planes
    return cost + convolution(inputs, 2 * planes, 1, size, bias=True, norm=False) if changes else cost


def stack(config: Any, size: Size) -> Cost:
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


def handed_on(config: Any, size: Size) -> Cost:
    """Features and heatmaps added to what the next stack starts from."""
    width = config.features
    features = convolution(width, width, 1, size, bias=True, norm=False)
    return features + convolution(config.num_keypoints, width, 1, size, bias=True, norm=False)
