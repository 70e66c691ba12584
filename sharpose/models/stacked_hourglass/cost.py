"""Stacked hourglasses in closed form."""

from __future__ import annotations

from sharpose.models.layers.cost import NEAREST, Cost, Size, batch_norm, convolution, half, pointwise, resize
from sharpose.models.stacked_hourglass.config import StackedHourglassConfig


def stacked_hourglass(config: StackedHourglassConfig) -> Cost:
    """Count the stem at a half and a quarter of the size, then the stacks."""
    return stem(config) + stack(config) * config.stacks + handed_on(config) * (config.stacks - 1)


def residual(inputs: int, planes: int, size: Size) -> Cost:
    """Count a bottleneck with norms before its convolutions, to twice `planes`."""
    cost = batch_norm(inputs, size) + convolution(inputs, planes, 1, size, bias=True)
    cost += convolution(planes, planes, 3, size, bias=True)
    cost += pointwise(planes, 2 * planes, size)
    return cost + pointwise(inputs, 2 * planes, size) if inputs != 2 * planes else cost


def stem(config: StackedHourglassConfig) -> Cost:
    """Return the cost of what gives features at a quarter of the size."""
    width, middle, size = config.features, config.stem_planes, half(config.image_size)
    first = convolution(3, width // 4, 7, size, bias=True) + residual(width // 4, width // 4, size)
    size = half(size)
    return first + residual(width // 2, middle, size) + residual(2 * middle, width // 2, size)


def stack(config: StackedHourglassConfig) -> Cost:
    """Count one hourglass, its residual, its 1x1 convolution and its heatmaps."""
    width, size = config.features, config.heatmap_size
    cost = residual(width, width // 2, size) + convolution(width, width, 1, size, bias=True)
    cost += pointwise(width, config.num_keypoints, size)
    for _ in range(config.depth):
        small = (size[0] // 2, size[1] // 2)
        cost += residual(width, width // 2, size) + residual(width, width // 2, small) * 2
        cost += resize(width, size, NEAREST)
        size = small
    return cost + residual(width, width // 2, size)


def handed_on(config: StackedHourglassConfig) -> Cost:
    """Count features and heatmaps added to what the next stack starts from."""
    width, size = config.features, config.heatmap_size
    return pointwise(width, width, size) + pointwise(config.num_keypoints, width, size)
