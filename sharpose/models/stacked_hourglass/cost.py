"""Stacked hourglasses in closed form."""

from __future__ import annotations

from sharpose.models.layers.cost import Cost, convolution, half
from sharpose.models.layers.hourglass_cost import handed_on, residual, stack
from sharpose.models.stacked_hourglass.config import StackedHourglassConfig


def stacked_hourglass(config: StackedHourglassConfig) -> Cost:
    """Stem at a half and a quarter of the size, then the stacks."""
    width, size = config.features, half(config.image_size)
    cost = convolution(3, width // 4, 7, size, bias=True) + residual(width // 4, width // 4, size)
    size = half(size)
    cost += residual(width // 2, width // 4, size) + residual(width // 2, width // 2, size)
    return cost + stack(config, size) * config.stacks + handed_on(config, size) * (config.stacks - 1)
