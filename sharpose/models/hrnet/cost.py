"""HRNet in closed form, and the trunk of parallel branches that HRFormer and TokenPose build on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sharpose.models.layers.cost import (
    NEAREST,
    Cost,
    Size,
    basic_block,
    bottleneck,
    convolution,
    half,
    pointwise,
    resize,
    total,
)


@dataclass(frozen=True)
class Layers:
    """What the modules of parallel branches are made of: blocks of one branch, ways up and down between branches."""

    branch: Callable[[int, Size], Cost]
    """Branch number and size."""
    up: Callable[[int, int, Size, Size], Cost]
    """Channels before and after, sizes before and after."""
    down: Callable[[int, int, Size], Cost]
    """Channels before and after, size after: one halving."""


def trunk(config: Any, layers: Layers | None = None, every_branch: bool = False) -> Cost:
    """Count stem, Bottlenecks, then stages of 2, 3, ... branches; the last gives the finest alone, or every one.

    `config` has HRNet's fields; `layers` are HRNet's own unless others are given.
    """
    widths, modules, layers = config.widths, config.modules, layers or convolutional_layers(config)
    stem, planes, size = config.stem_channels, config.stage1_planes, half(config.image_size)
    cost = convolution(3, stem, 3, size)
    size = half(size)
    cost += convolution(stem, stem, 3, size)
    inputs = [stem, *[4 * planes] * (config.stage1_blocks - 1)]
    cost += total(bottleneck(entering, planes, size, size) for entering in inputs)
    sizes, previous = [size], [4 * planes]
    for stage, count in enumerate(modules, start=2):
        current = widths[:stage]
        sizes.append(half(sizes[-1]))
        changed = [(a, b, s) for a, b, s in zip(previous, current, sizes, strict=False) if a != b]
        cost += total(convolution(before, after, 3, where) for before, after, where in changed)
        cost += convolution(previous[-1], current[-1], 3, sizes[-1])
        for index in range(count):
            alone = stage == len(modules) + 1 and index == count - 1 and not every_branch
            cost += parallel_module(current, sizes, 1 if alone else stage, layers)
        previous = list(current)
    return cost


def parallel_module(widths: Sequence[int], sizes: Sequence[Size], outputs: int, layers: Layers) -> Cost:
    """Count every branch by itself, then the exchange."""
    cost = total(layers.branch(index, size) for index, size in enumerate(sizes))
    for target in range(outputs):
        for source in range(len(widths)):
            if source > target:
                cost += layers.up(widths[source], widths[target], sizes[source], sizes[target])
            for step in range(source, target):
                after = widths[target] if step == target - 1 else widths[source]
                cost += layers.down(widths[source], after, sizes[step + 1])
    return cost


def convolutional_layers(config: Any) -> Layers:
    """Return HRNet's layers."""

    def up(before: int, after: int, small: Size, large: Size) -> Cost:
        return convolution(before, after, 1, small) + resize(after, large, NEAREST)

    def branch(index: int, size: Size) -> Cost:
        return basic_block(config.widths[index], config.widths[index], size, False) * config.blocks_per_branch

    return Layers(branch, up, down=lambda before, after, size: convolution(before, after, 3, size))


def hrnet(config: Any, layers: Layers | None = None) -> Cost:
    """Return the cost of a trunk of parallel branches and the heatmaps of its finest one."""
    return trunk(config, layers) + pointwise(config.widths[0], config.num_keypoints, config.heatmap_size)
