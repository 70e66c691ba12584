"""One arithmetic for parameters and multiply-adds in closed form, from sizes alone, for every system.

An independent third count beside the two libraries' in a cost record. No torch. A `config` is a configuration with the
fields of the vision transformers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

Size = tuple[int, int]

# What fvcore books per element, beside the matmuls (fvcore 0.1.5)
BATCH_NORM, LAYER_NORM, BILINEAR, NEAREST = 2, 5, 4, 1
CHANNELS = 3


@dataclass(frozen=True)
class Cost:
    """What a forward pass of one image costs.

    `macs`: multiply-adds of every convolution and matmul, attention's included (as torch counts); `elements`:
    what fvcore adds to them for norms and resizing; `params`: learned numbers.

    `parts`: of a system with stages, those of each stage with its head, and of one head alone.
    """

    macs: int = 0
    elements: int = 0
    params: int = 0
    parts: Mapping[str, Cost] = field(default_factory=dict, compare=False)

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.macs + other.macs, self.elements + other.elements, self.params + other.params)

    def __mul__(self, times: int) -> Cost:
        return Cost(self.macs * times, self.elements * times, self.params * times)

    @property
    def fvcore(self) -> int:
        """Return the multiply-adds by fvcore's convention."""
        return self.macs + self.elements

    def disagreement(self, metrics: Mapping[str, Any]) -> float:
        """Return the largest relative difference to the two counters' figures in a cost record, as a fraction."""
        pairs: tuple[tuple[int, int], ...] = (
            (self.macs, metrics["macs_torch"]),
            (self.fvcore, metrics["macs_fvcore"]),
            (self.params, metrics["params"]),
        )
        return max(abs(counted / formula - 1) for formula, counted in pairs)


def total(parts: Iterable[Cost]) -> Cost:
    """Return the sum of costs, without their parts."""
    return sum(parts, start=Cost())


# ---- layers; `size` is always that of the output


def convolution(
    inputs: int, outputs: int, kernel: int, size: Size, *, groups: int = 1, bias: bool = False, norm: bool = True
) -> Cost:
    """Count a convolution, and the BatchNorm behind it."""
    weights = inputs // groups * outputs * kernel**2
    cost = Cost(weights * math.prod(size), 0, weights + bias * outputs)
    return cost + batch_norm(outputs, size) if norm else cost


def batch_norm(channels: int, size: Size) -> Cost:
    """Return the cost of a BatchNorm over maps of `channels`."""
    return Cost(0, BATCH_NORM * channels * math.prod(size), 2 * channels)


def layer_norm(dim: int, count: int) -> Cost:
    """Return the cost of a LayerNorm over `count` tokens of width `dim`."""
    return Cost(0, LAYER_NORM * dim * count, 2 * dim)


def linear(inputs: int, outputs: int, count: int, bias: bool = True) -> Cost:
    """Return the cost of a linear layer on `count` tokens."""
    return Cost(inputs * outputs * count, 0, inputs * outputs + bias * outputs)


def resize(channels: int, size: Size, per_element: int) -> Cost:
    """Return the cost of resizing maps, at fvcore's price per element of the output."""
    return Cost(0, per_element * channels * math.prod(size))


def half(size: Size) -> Size:
    """Return the size of maps after a step of stride 2."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def basic_block(inputs: int, planes: int, size: Size, changes: bool) -> Cost:
    """Return the cost of a basic block; where it `changes` width or size, its shortcut is a 1x1 convolution."""
    cost = convolution(inputs, planes, 3, size) + convolution(planes, planes, 3, size)
    return cost + convolution(inputs, planes, 1, size) if changes else cost


def bottleneck(inputs: int, planes: int, size: Size, entry_size: Size) -> Cost:
    """Count a bottleneck; the stride, where `entry_size` is not `size`, is in the 3x3."""
    cost = convolution(inputs, planes, 1, entry_size) + convolution(planes, planes, 3, size)
    cost += convolution(planes, 4 * planes, 1, size)
    changes = inputs != 4 * planes or entry_size != size
    return cost + convolution(inputs, 4 * planes, 1, size) if changes else cost


def pointwise(inputs: int, outputs: int, size: Size) -> Cost:
    """Return the cost of a 1x1 convolution with bias and without a norm, as those that give heatmaps."""
    return convolution(inputs, outputs, 1, size, bias=True, norm=False)


def doubling(inputs: int, outputs: int, size: Size) -> Cost:
    """Count a 4x4 transposed convolution of maps of `size`, once per input pixel and weight, and its BatchNorm."""
    weights = inputs * outputs * 16
    cost = Cost(weights * math.prod(size), params=weights)
    return cost + batch_norm(outputs, (2 * size[0], 2 * size[1]))


def doublings(widths: Sequence[int], size: Size) -> Cost:
    """Count transposed convolutions in a row through these widths, the first of maps of `size`."""
    return total(doubling(*pair, (size[0] << step, size[1] << step)) for step, pair in enumerate(pairwise(widths)))


# ---- transformers


def mlp(widths: Sequence[int], count: int) -> Cost:
    """Return the cost of linear layers in a row through these widths, on `count` tokens."""
    return total(linear(inputs, outputs, count) for inputs, outputs in pairwise(widths))


def block(dim: int, mlp_ratio: int, entering: int, leaving: int, qkv_bias: bool = True) -> Cost:
    """Count a block: `entering` tokens attend to each other, `leaving` ones go through the MLP."""
    qkv, attention = linear(dim, 3 * dim, entering, bias=qkv_bias), Cost(2 * entering**2 * dim)
    norms = layer_norm(dim, entering) + layer_norm(dim, leaving)
    return norms + qkv + attention + linear(dim, dim, entering) + mlp([dim, mlp_ratio * dim, dim], leaving)


def blocks(config: Any, entering: Sequence[int], leaving: Sequence[int] | None = None) -> Cost:
    """Count all blocks, a count of each kind per block, and the final norm; without `leaving`, all that enter leave."""
    leaving = entering if leaving is None else leaving
    counts = zip(entering, leaving, strict=True)
    passed = total(block(config.embed_dim, config.mlp_ratio, *both) for both in counts)
    return passed + layer_norm(config.embed_dim, leaving[-1])


def merging_blocks(config: Any, patches: Sequence[int]) -> Cost:
    """Count blocks that merge pairs of patches between attention and MLP; `patches` enter each, and leave the last.

    For each merge half of the patches are compared with the others, by the mean of their heads' keys.
    """
    compared = sum(count // 2 * (count - count // 2) for count, left in pairwise(patches) if left < count)
    tokens = [config.num_keypoints + count for count in patches]
    return Cost(compared * (config.embed_dim // config.num_heads)) + blocks(config, tokens[:-1], tokens[1:])


def attention(dim: int, queries: int, keys: int) -> Cost:
    """Count queries that look at keys, each from inputs of its own; four projections."""
    return linear(dim, dim, queries) * 2 + linear(dim, dim, keys) * 2 + Cost(2 * queries * keys * dim)


def encoder_layer(dim: int, hidden: int, tokens: int) -> Cost:
    """Count a layer of DETR's encoder, with the norms behind attention and MLP."""
    return attention(dim, tokens, tokens) + mlp([dim, hidden, dim], tokens) + layer_norm(dim, tokens) * 2


def decoder_layer(dim: int, hidden: int, queries: int, memory: int) -> Cost:
    """Count a layer of DETR's decoder: queries look at each other, then at the memory."""
    return encoder_layer(dim, hidden, queries) + attention(dim, queries, memory) + layer_norm(dim, queries)


def deformable(dim: int, queries: int, memory: int, samples: int, num_heads: int) -> Cost:
    """Count queries that read the memory at `samples` places per head; each place is interpolated from four."""
    places = linear(dim, 2 * num_heads * samples, queries) + linear(dim, num_heads * samples, queries)
    read = Cost(0, BILINEAR * dim * samples * queries)
    return linear(dim, dim, memory) + places + read + linear(dim, dim, queries)


def patch_embed(config: Any, patches: int) -> Cost:
    """Return the cost of embedding so many patches of an image."""
    return linear(CHANNELS * config.patch_size**2, config.embed_dim, patches)


def embedding(config: Any) -> Cost:
    """Count patch embedding, position table, keypoint tokens."""
    learned = (config.num_keypoints + config.num_patches) * config.embed_dim
    return Cost(params=learned) + patch_embed(config, config.num_patches)


def heatmap_head(config: Any) -> Cost:
    """Count one linear layer from a token to a map, or two where the tokens are narrow."""
    dim, pixels = config.embed_dim, math.prod(config.heatmap_size)
    single = config.head == "single" or (config.head == "auto" and dim >= pixels / 4)
    return token_head(dim, 0 if single else pixels // 2, pixels, config.num_keypoints)


def token_head(dim: int, hidden: int, pixels: int, count: int) -> Cost:
    """Count a norm and a linear layer from `count` tokens to pixels, or with `hidden` two of each."""
    if not hidden:
        return layer_norm(dim, count) + linear(dim, pixels, count)
    return layer_norm(dim, count) + layer_norm(hidden, count) + mlp([dim, hidden, pixels], count)
