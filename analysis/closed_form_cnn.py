"""Parameters and multiply-adds of the convolutional systems and TokenPose, convolution by convolution from their sizes.

An independent third count beside the two libraries' in a cost record. A configuration is a plain mapping with the
fields of the system's class in `sharpose.models.configs`, as records hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Config = Mapping[str, Any]
Size = tuple[int, int]

# What fvcore books per element, beside the products (fvcore 0.1.5)
BATCH_NORM, LAYER_NORM, BILINEAR, NEAREST = 2, 5, 4, 1


@dataclass(frozen=True)
class Cost:
    """`macs`: multiply-adds of every convolution and matrix product, attention's included (as torch counts);
    `elements`: what fvcore adds to them for norms and resizing; `params`: learned numbers."""

    macs: int = 0
    elements: int = 0
    params: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.elements + other.elements, self.params + other.params)

    def __mul__(self, times: int) -> Cost:
        return Cost(self.macs * times, self.elements * times, self.params * times)

    @property
    def fvcore(self) -> int:
        return self.macs + self.elements


def total(parts: Sequence[Cost]) -> Cost:
    return sum(parts, start=Cost())


def disagreement(cost: Cost, metrics: Mapping[str, Any]) -> float:
    """The largest relative difference between this count and the two counters' in a cost record, as a fraction."""
    pairs = (
        (cost.macs, metrics["macs_torch"]),
        (cost.fvcore, metrics["macs_fvcore"]),
        (cost.params, metrics["params"]),
    )
    return max(abs(counted / formula - 1) for formula, counted in pairs)


# ---- layers; `size` is always that of the output


def convolution(
    inputs: int, outputs: int, kernel: int, size: Size, *, groups: int = 1, bias: bool = False, norm: bool = True
) -> Cost:
    """A convolution, and the BatchNorm behind it."""
    weights = inputs // groups * outputs * kernel**2
    cost = Cost(weights * math.prod(size), 0, weights + bias * outputs)
    return cost + batch_norm(outputs, size) if norm else cost


def batch_norm(channels: int, size: Size) -> Cost:
    return Cost(0, BATCH_NORM * channels * math.prod(size), 2 * channels)


def layer_norm(dim: int, count: int) -> Cost:
    return Cost(0, LAYER_NORM * dim * count, 2 * dim)


def linear(inputs: int, outputs: int, count: int, bias: bool = True) -> Cost:
    return Cost(inputs * outputs * count, 0, inputs * outputs + bias * outputs)


def resize(channels: int, size: Size, per_element: int) -> Cost:
    return Cost(0, per_element * channels * math.prod(size))


def half(size: Size) -> Size:
    """After a step of stride 2."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def basic_block(inputs: int, planes: int, size: Size, changes: bool) -> Cost:
    cost = convolution(inputs, planes, 3, size) + convolution(planes, planes, 3, size)
    return cost + convolution(inputs, planes, 1, size) if changes else cost


def bottleneck(inputs: int, planes: int, size: Size, entry_size: Size) -> Cost:
    """The stride, where `entry_size` is not `size`, is in the 3x3."""
    cost = convolution(inputs, planes, 1, entry_size) + convolution(planes, planes, 3, size)
    cost += convolution(planes, 4 * planes, 1, size)
    changes = inputs != 4 * planes or entry_size != size
    return cost + convolution(inputs, 4 * planes, 1, size) if changes else cost


# ---- SimpleBaseline

RESNETS = {
    18: (1, (2, 2, 2, 2)),
    34: (1, (3, 4, 6, 3)),
    50: (4, (3, 4, 6, 3)),
    101: (4, (3, 4, 23, 3)),
    152: (4, (3, 8, 36, 3)),
}


def simple_baseline(config: Config) -> Cost:
    """ResNet, transposed convolutions, 1x1 convolution."""
    expansion, counts = RESNETS[config["resnet_depth"]]
    inputs, size = config["stem_channels"], half(tuple(config["image_size"]))
    cost = convolution(3, inputs, 7, size)
    size = half(size)
    for stage, count in enumerate(counts):
        planes, entry_size = config["base_channels"] * 2**stage, size
        size = size if stage == 0 else half(size)
        for index in range(count):
            before = entry_size if index == 0 else size
            if expansion == 4:
                cost += bottleneck(inputs, planes, size, before)
            else:
                cost += basic_block(inputs, planes, size, inputs != planes or before != size)
            inputs = expansion * planes
    for before, after in pairwise([inputs, *config["deconv_filters"]]):
        # a transposed convolution multiplies once per input pixel and kernel weight
        weights = before * after * 16
        cost += Cost(weights * math.prod(size), 0, weights)
        size = (2 * size[0], 2 * size[1])
        cost += batch_norm(after, size)
        inputs = after
    return cost + heatmaps(inputs, config["num_keypoints"], size)


def heatmaps(inputs: int, keypoints: int, size: Size) -> Cost:
    return convolution(inputs, keypoints, 1, size, bias=True, norm=False)


# ---- HRNet and HRFormer


@dataclass(frozen=True)
class Layers:
    """What the modules of parallel branches are made of: blocks of one branch, ways up and down between branches."""

    branch: Callable[[int, Size], Cost]
    """Branch number and size."""
    up: Callable[[int, int, Size, Size], Cost]
    """Channels before and after, sizes before and after."""
    down: Callable[[int, int, Size], Cost]
    """Channels before and after, size after: one halving."""


def trunk(
    image: Size, stem: int, blocks: int, planes: int, widths: Sequence[int], modules: Sequence[int], layers: Layers
) -> Cost:
    """Stem, Bottlenecks, then stages of 2, 3, ... branches of which the last gives the finest alone."""
    size = half(image)
    cost = convolution(3, stem, 3, size)
    size = half(size)
    cost += convolution(stem, stem, 3, size)
    cost += total([bottleneck(stem if index == 0 else 4 * planes, planes, size, size) for index in range(blocks)])
    sizes, previous = [size], [4 * planes]
    for stage, count in enumerate(modules, start=2):
        current = widths[:stage]
        sizes.append(half(sizes[-1]))
        changed = [(a, b, s) for a, b, s in zip(previous, current, sizes, strict=False) if a != b]
        cost += total([convolution(before, after, 3, where) for before, after, where in changed])
        cost += convolution(previous[-1], current[-1], 3, sizes[-1])
        for index in range(count):
            alone = stage == len(modules) + 1 and index == count - 1
            cost += parallel_module(current, sizes, 1 if alone else stage, layers)
        previous = list(current)
    return cost


def parallel_module(widths: Sequence[int], sizes: Sequence[Size], outputs: int, layers: Layers) -> Cost:
    """Every branch by itself, then the exchange."""
    cost = total([layers.branch(index, size) for index, size in enumerate(sizes)])
    for target in range(outputs):
        for source in range(len(widths)):
            if source > target:
                cost += layers.up(widths[source], widths[target], sizes[source], sizes[target])
            for step in range(source, target):
                after = widths[target] if step == target - 1 else widths[source]
                cost += layers.down(widths[source], after, sizes[step + 1])
    return cost


def convolutional_layers(widths: Sequence[int], blocks_per_branch: int) -> Layers:
    """HRNet's."""

    def up(before: int, after: int, small: Size, large: Size) -> Cost:
        return convolution(before, after, 1, small) + resize(after, large, NEAREST)

    return Layers(
        branch=lambda index, size: basic_block(widths[index], widths[index], size, False) * blocks_per_branch,
        up=up,
        down=lambda before, after, size: convolution(before, after, 3, size),
    )


def hrnet(config: Config) -> Cost:
    layers = convolutional_layers(config["widths"], config["blocks_per_branch"])
    return parallel_net(config, layers)


def hrformer(config: Config) -> Cost:
    def branch(index: int, size: Size) -> Cost:
        block = window_block(config["widths"][index], config["num_heads"][index], size, config)
        return block * config["blocks_per_branch"]

    def up(before: int, after: int, small: Size, large: Size) -> Cost:
        factor = round(large[0] / small[0])
        reached = (small[0] * factor, small[1] * factor)
        cost = convolution(before, after, 1, small) + resize(after, reached, BILINEAR)
        return cost if reached == large else cost + resize(after, large, BILINEAR)

    def down(before: int, after: int, size: Size) -> Cost:
        return convolution(before, before, 3, size, groups=before) + convolution(before, after, 1, size)

    return parallel_net(config, Layers(branch, up, down))


def parallel_net(config: Config, layers: Layers) -> Cost:
    image, widths = tuple(config["image_size"]), config["widths"]
    sizes = (config["stem_channels"], config["stage1_blocks"], config["stage1_planes"])
    body = trunk(image, *sizes, widths, config["modules"], layers)
    return body + heatmaps(widths[0], config["num_keypoints"], half(half(image)))


def window_block(dim: int, heads: int, size: Size, config: Config) -> Cost:
    """Attention in windows over the padded map, then three convolutions."""
    window, hidden = config["window_size"], config["mlp_ratio"] * dim
    padded = math.prod(math.ceil(side / window) * window for side in size)
    attention = linear(dim, dim, padded) * 4 + Cost(2 * padded * window**2 * dim, 0, (2 * window - 1) ** 2 * heads)
    mlp = convolution(dim, hidden, 1, size, bias=True) + convolution(hidden, dim, 1, size, bias=True)
    mlp += convolution(hidden, hidden, 3, size, groups=hidden, bias=True)
    return layer_norm(dim, math.prod(size)) * 2 + attention + mlp


# ---- TokenPose


def tokenpose(config: Config) -> Cost:
    """Stem where there is one, patches, blocks over keypoint and patch tokens, head on the keypoint tokens."""
    image, widths = tuple(config["image_size"]), config["stem_widths"]
    cost, size, channels = Cost(), image, 3
    if widths:
        layers = convolutional_layers(widths, config["stem_blocks_per_branch"])
        sizes = (config["stem_channels"], config["stem_stage1_blocks"], config["stem_stage1_planes"])
        cost = trunk(image, *sizes, widths, config["stem_modules"], layers)
        size, channels = half(half(image)), widths[0]
    patch, dim, keypoints = config["patch_size"], config["embed_dim"], config["num_keypoints"]
    patches = math.prod(size) // math.prod(patch)
    cost += linear(channels * math.prod(patch), dim, patches) + Cost(0, 0, (patches + keypoints) * dim)
    cost += block(dim, config["mlp_ratio"], keypoints + patches) * (config["stacks"] * config["depth"])
    return cost + token_head(config)


def block(dim: int, mlp_ratio: int, tokens: int) -> Cost:
    """A transformer block without biases in its qkv."""
    attention = linear(dim, 3 * dim, tokens, bias=False) + linear(dim, dim, tokens) + Cost(2 * tokens**2 * dim)
    mlp = linear(dim, mlp_ratio * dim, tokens) + linear(mlp_ratio * dim, dim, tokens)
    return layer_norm(dim, tokens) * 2 + attention + mlp


def token_head(config: Config) -> Cost:
    keypoints, pixels = config["num_keypoints"], math.prod(config["heatmap_size"])
    dim, hidden = config["stacks"] * config["embed_dim"], pixels // 8
    cost = layer_norm(dim, keypoints)
    if config["head"] == "single" or (config["head"] == "auto" and dim > hidden / 2):
        return cost + linear(dim, pixels, keypoints)
    return cost + linear(dim, hidden, keypoints) + layer_norm(hidden, keypoints) + linear(hidden, pixels, keypoints)


# ---- OKDHP


def okdhp(config: Config) -> Cost:
    """Stem and stacks; with more than one branch also the branches' own stacks and the weights of the ensemble."""
    width, keypoints, branches = config["features"], config["num_keypoints"], config["branches"]
    size = half(tuple(config["image_size"]))
    cost = convolution(3, width // 4, 7, size, bias=True) + residual(width // 4, width // 4, size)
    size = half(size)
    cost += residual(width // 2, width // 2, size) + residual(width, width // 2, size)
    own = 2 if branches > 1 else 0
    shared = config["stacks"] - own
    cost += stack(config, size) * shared + handed_on(config, size) * (shared if own else shared - 1)
    if own:
        cost += (stack(config, size) * own + handed_on(config, size) * (own - 1)) * branches
        cost += total([convolution(width, width, kernel, size, bias=True) for kernel in (3, 5, 7)])
        squeezed = config["ensemble_hidden"]
        cost += linear(width, squeezed, 1) + linear(squeezed, keypoints, 1) * branches
    return cost


def residual(inputs: int, planes: int, size: Size) -> Cost:
    """Bottleneck with norms before its convolutions, to twice `planes`."""
    cost = batch_norm(inputs, size) + convolution(inputs, planes, 1, size, bias=True)
    cost += convolution(planes, planes, 3, size, bias=True)
    cost += convolution(planes, 2 * planes, 1, size, bias=True, norm=False)
    changes = inputs != 2 * planes
    return cost + convolution(inputs, 2 * planes, 1, size, bias=True, norm=False) if changes else cost


def stack(config: Config, size: Size) -> Cost:
    """One hourglass, its residual, its 1x1 convolution and its heatmaps."""
    width = config["features"]
    cost = residual(width, width // 2, size) + convolution(width, width, 1, size, bias=True)
    cost += heatmaps(width, config["num_keypoints"], size)
    for _ in range(config["depth"]):
        small = (size[0] // 2, size[1] // 2)
        cost += (
            residual(width, width // 2, size) + residual(width, width // 2, small) * 2 + resize(width, size, NEAREST)
        )
        size = small
    return cost + residual(width, width // 2, size)


def handed_on(config: Config, size: Size) -> Cost:
    """Features and heatmaps added to what the next stack starts from."""
    width = config["features"]
    features = convolution(width, width, 1, size, bias=True, norm=False)
    return features + convolution(config["num_keypoints"], width, 1, size, bias=True, norm=False)
