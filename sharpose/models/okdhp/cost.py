"""Stacked hourglasses in closed form."""

from __future__ import annotations

from sharpose.models.layers.cost import Cost, convolution, half, linear, total
from sharpose.models.layers.hourglass_cost import handed_on, residual, stack
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
