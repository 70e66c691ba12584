"""Parameters and multiply-adds of ViTPose and of the token-reduction systems from their sizes alone.

An independent third count beside the two libraries' in a cost record. A configuration is a plain mapping with the
fields of the system's class in `sharpose.models.configs`, as records hold it; token counts are worked out here again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from analysis.closed_form_cnn import (
    BILINEAR,
    Config,
    Cost,
    Size,
    batch_norm,
    convolution,
    heatmaps,
    layer_norm,
    linear,
    resize,
    total,
)

CHANNELS = 3


def grid(config: Config) -> Size:
    """Rows and columns of patches."""
    height, width = config["image_size"]
    return height // config["patch_size"], width // config["patch_size"]


def patch_embed(config: Config) -> Cost:
    return linear(CHANNELS * config["patch_size"] ** 2, config["embed_dim"], math.prod(grid(config)))


def block(config: Config, entering: int, leaving: int) -> Cost:
    """`entering` tokens attend to each other, `leaving` ones go through the MLP."""
    dim, hidden = config["embed_dim"], config["mlp_ratio"] * config["embed_dim"]
    attention = linear(dim, 3 * dim, entering) + Cost(2 * entering**2 * dim) + linear(dim, dim, entering)
    mlp = linear(dim, hidden, leaving) + linear(hidden, dim, leaving)
    return layer_norm(dim, entering) + attention + layer_norm(dim, leaving) + mlp


def blocks(config: Config, entering: Sequence[int], leaving: Sequence[int], wanted: int | None = None) -> Cost:
    """All blocks, one count of each kind per block, and the final norm.

    With `wanted`, the last block computes the output of so many tokens alone, and they alone are normalised.
    """
    passed = [block(config, *counts) for counts in zip(entering, leaving, strict=True)]
    if wanted is not None:
        passed[-1] = last_block(config, entering[-1], wanted)
    return total(passed) + layer_norm(config["embed_dim"], leaving[-1] if wanted is None else wanted)


def last_block(config: Config, entering: int, wanted: int) -> Cost:
    """Keys and values of all `entering` tokens, everything else for `wanted` ones. Learned numbers are the block's."""
    dim, hidden = config["embed_dim"], config["mlp_ratio"] * config["embed_dim"]
    products = 2 * dim**2 * entering + (2 * dim**2 + 2 * dim * hidden) * wanted + 2 * wanted * entering * dim
    norms = layer_norm(dim, entering) + layer_norm(dim, wanted) * 2
    return Cost(products, norms.elements, block(config, 0, 0).params)


# ---- ViTPose


def vitpose(config: Config) -> Cost:
    """Patch tokens alone, their position table with a row too many, and the head."""
    patches = math.prod(grid(config))
    table = Cost(params=(1 + patches) * config["embed_dim"])
    everywhere = [patches] * config["depth"]
    encoder = blocks(config, everywhere, everywhere)
    return (
        table
        + patch_embed(config)
        + encoder
        + (simple_head(config) if config["head"] == "simple" else deconv_head(config))
    )


def simple_head(config: Config) -> Cost:
    """Bilinear resizing, one 3x3 convolution."""
    rows, columns = grid(config)
    size = rows * config["upsample"], columns * config["upsample"]
    dim, maps = config["embed_dim"], config["num_keypoints"]
    return resize(dim, size, BILINEAR) + convolution(dim, maps, 3, size, bias=True, norm=False)


def deconv_head(config: Config) -> Cost:
    """4x4 transposed convolutions, which multiply once per input pixel and kernel weight; then a 1x1 convolution."""
    size, widths, cost = grid(config), [config["embed_dim"], *config["deconv_filters"]], Cost()
    for inputs, outputs in pairwise(widths):
        weights = inputs * outputs * 16
        cost += Cost(weights * math.prod(size), params=weights)
        size = 2 * size[0], 2 * size[1]
        cost += batch_norm(outputs, size)
    return cost + heatmaps(widths[-1], config["num_keypoints"], size)


# ---- one token per keypoint


# `executed`: the last block works for the keypoint tokens alone, as no result depends on the others.


def keypoint_vit(config: Config, executed: bool = False) -> Cost:
    """Nothing is dropped."""
    patches = math.prod(grid(config))
    tokens = with_keypoints(config, [patches] * config["depth"])
    return around(config) + blocks(config, tokens, tokens, wanted(config, executed))


def wanted(config: Config, executed: bool) -> int | None:
    """How many tokens' output the last block computes; None: all."""
    return config["num_keypoints"] if executed else None


def around(config: Config) -> Cost:
    """All but the blocks: embedding, position table, keypoint tokens and head."""
    dim, count, patches = config["embed_dim"], config["num_keypoints"], math.prod(grid(config))
    pixels = math.prod(config["heatmap_size"])
    head = layer_norm(dim, count)
    if config["head"] == "single" or (config["head"] == "auto" and dim >= pixels / 4):
        head += linear(dim, pixels, count)
    else:
        hidden = pixels // 2
        head += linear(dim, hidden, count) + layer_norm(hidden, count) + linear(hidden, pixels, count)
    return Cost(params=(count + patches) * dim) + patch_embed(config) + head


def with_keypoints(config: Config, patches: Sequence[int]) -> list[int]:
    return [config["num_keypoints"] + count for count in patches]


def dynamicvit(config: Config, executed: bool = False) -> Cost:
    """A predictor on the patches present before each reduction; shares are of the original patches."""
    original, dim = math.prod(grid(config)), config["embed_dim"]
    where = list(config["reduction_blocks"])
    ratios = config["token_ratios"] or [config["keep_rate"] ** (stage + 1) for stage in range(len(where))]
    patches, counts, predictors = original, [], Cost()
    for index in range(config["depth"]):
        if index in where:
            predictors += predictor(dim, patches)
            patches = int(original * ratios[where.index(index)])
        counts.append(patches)
    tokens = with_keypoints(config, counts)
    return around(config) + predictors + blocks(config, tokens, tokens, wanted(config, executed))


def predictor(dim: int, patches: int) -> Cost:
    """Norm, one layer of the full width, three that halve it to two scores."""
    widths = [dim, dim // 2, dim // 4, 2]
    layers = [linear(inputs, outputs, patches) for inputs, outputs in pairwise(widths)]
    return layer_norm(dim, patches) + linear(dim, dim, patches) + total(layers)


def evit(config: Config, executed: bool = False) -> Cost:
    """Reduced between attention and MLP, so the count changes inside a block."""
    where = list(config["reduction_blocks"])
    rates = config["keep_rates"] or [config["keep_rate"]] * len(where)
    counts = [math.prod(grid(config))]
    for index in range(config["depth"]):
        kept = math.ceil(rates[where.index(index)] * counts[-1]) if index in where else counts[-1]
        counts.append(kept + 1 if kept < counts[-1] and config["fuse_token"] else kept)
    tokens = with_keypoints(config, counts)
    return around(config) + blocks(config, tokens[:-1], tokens[1:], wanted(config, executed))


def tome(config: Config, executed: bool = False) -> Cost:
    """Merged between attention and MLP; each merge compares half of the patches with the other half."""
    depth, head_dim = config["depth"], config["embed_dim"] // config["num_heads"]
    first = int(config["merges"] * (1 - config["inflection"]))
    slope = 2 * (config["merges"] - first) / max(depth - 1, 1)
    schedule = list(config["merges_per_block"] or [int(first + slope * index) for index in range(depth)])
    if executed:
        schedule[-1] = 0
    counts, matching = [math.prod(grid(config))], Cost()
    for merges in schedule:
        half = counts[-1] // 2
        if min(merges, half):
            matching += Cost(half * (counts[-1] - half) * head_dim)
        counts.append(counts[-1] - min(merges, half))
    tokens = with_keypoints(config, counts)
    return around(config) + matching + blocks(config, tokens[:-1], tokens[1:], wanted(config, executed))
