"""Parameters and multiply-adds of SHaRPose from its sizes alone: an independent third count.

A configuration is a plain mapping with the fields of `SHaRPoseConfig`, as records hold it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# What fvcore books per element, beside the products (fvcore 0.1.5): affine LayerNorm 5, bilinear resizing 4, nearest 1
NORM, BILINEAR, NEAREST = 5, 4, 1
CHANNELS = 3


@dataclass(frozen=True)
class Count:
    """`macs`: multiply-adds of every convolution and matrix product, attention's included (as torch counts);
    `elements`: what fvcore adds to them for norms and resizing."""

    macs: int
    elements: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.macs + other.macs, self.elements + other.elements)

    def __mul__(self, times: int) -> Count:
        return Count(self.macs * times, self.elements * times)

    @property
    def fvcore(self) -> int:
        return self.macs + self.elements


@dataclass(frozen=True)
class Sizes:
    """The sizes the formulas need, from a configuration."""

    dim: int
    depth: int
    mlp_ratio: int
    keypoints: int
    ratio: int
    patch_pixels: int
    coarse_patches: int
    fine_patches: int
    coarse_pixels: int
    heatmap_pixels: int
    keep: int
    single_head: bool
    output_stands_in: bool
    heads: int
    merges: int
    judges_gain: bool
    stages: tuple[str, ...]


def sizes(config: Mapping[str, Any], keep: int | None = None) -> Sizes:
    """Derive every size from the configuration; KeyError names a field it lacks. `keep` goes before its α."""
    height, width = config["image_size"]
    patch, ratio, dim = config["patch_size"], config["refine_ratio"], config["embed_dim"]
    coarse_patches = (height // ratio // patch) * (width // ratio // patch)
    wanted = config["alpha"] * coarse_patches
    if keep is None:
        keep = math.ceil(wanted) if config["keep_rounding"] == "ceil" else math.floor(wanted)
    pixels = math.prod(config["heatmap_size"])
    return Sizes(
        dim=dim,
        depth=config["depth"],
        mlp_ratio=config["mlp_ratio"],
        keypoints=config["num_keypoints"],
        ratio=ratio,
        patch_pixels=CHANNELS * patch * patch,
        coarse_patches=coarse_patches,
        fine_patches=(height // patch) * (width // patch),
        coarse_pixels=CHANNELS * (height // ratio) * (width // ratio),
        heatmap_pixels=pixels,
        keep=keep,
        single_head=config["head"] == "single" or (config["head"] == "auto" and dim >= pixels / 4),
        output_stands_in=config["unselected_tokens"] == "output",
        heads=config["num_heads"],
        # left out where they are off
        merges=config.get("fine_merge", 0),
        judges_gain=config.get("gate") == "gain",
        stages=tuple(config["stages"].split("-")),
    )


def macs(config: Mapping[str, Any], executed: bool = False, keep: int | None = None) -> dict[str, Count]:
    """Multiply-adds per image of the stages `coarse`, `fine`, `coarse_head`, `fine_head` and their `total`.

    Every image is refined, as in the paper's tables: an early exit saves `fine` and `fine_head` of its image. As
    published, every patch is embedded and every token goes through every block; `executed` leaves out what no result
    depends on. (There, the coarse outputs of patches belong to `fine`, which asks for them.) `keep`: how many patches
    are refined, in place of what α says.
    """
    s = sizes(config, keep)
    if executed:
        stages = {"coarse": coarse_executed(s), "fine": fine_executed(s), "coarse_head": head(s), "fine_head": head(s)}
        if "fine" in s.stages:
            del stages["coarse_head"]
    else:
        stages = {"coarse": coarse_stage(s), "fine": fine_stage(s), "coarse_head": head(s), "fine_head": head(s)}
    stages = {stage: count for stage, count in stages.items() if stage.split("_")[0] in s.stages}
    return {**stages, "total": sum(stages.values(), start=Count(0))}


def expected(config: Mapping[str, Any], kept: Mapping[int, int], people: int) -> float:
    """Multiply-adds per person as published, by fvcore's convention, where of `people` so many (`kept`: people by their
    number of refined patches) are looked at again and everybody else leaves after the coarse stage."""
    once = macs(config)
    fine = 0
    for keep, count in kept.items():
        stages = macs(config, keep=keep)
        fine += count * (stages["fine"] + stages["fine_head"]).fvcore
    return (once["coarse"] + once["coarse_head"]).fvcore + fine / people


def disagreement(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> float:
    """The largest relative difference between this count and the two counters' in a cost record, as a fraction."""
    total = macs(config)["total"]
    pairs = (
        (total.macs, metrics["macs_torch"]),
        (total.fvcore, metrics["macs_fvcore"]),
        (parameters(config), metrics["params"]),
    )
    return max(abs(counted / formula - 1) for formula, counted in pairs)


def coarse_stage(s: Sizes) -> Count:
    """Resize, embed, all blocks over `[quality, keypoints, patches]`, and the quality predictor (Section 3.2, 3.3)."""
    tokens = 1 + s.keypoints + s.coarse_patches
    resize = Count(0, BILINEAR * s.coarse_pixels)
    return resize + patch_embed(s, s.coarse_patches) + encoder(s, tokens) + quality(s)


def fine_stage(s: Sizes) -> Count:
    """Embed the full picture, then all blocks: over the mixed sequence, with the coarse outputs reused (Section 3.4),
    or over all fine patches where there is no coarse stage."""
    if "coarse" not in s.stages:
        return patch_embed(s, s.fine_patches) + fine_encoder(s)
    mlp = Count(2 * s.mlp_ratio * s.dim**2 * s.coarse_patches)
    reuse = norm(s.coarse_patches, s.dim) + mlp + Count(0, NEAREST * s.fine_patches * s.dim)
    return patch_embed(s, s.fine_patches) + reuse + fine_encoder(s)


def coarse_executed(s: Sizes) -> Count:
    """The last block computes the output of the quality and keypoint tokens alone."""
    learned, tokens = 1 + s.keypoints, 1 + s.keypoints + s.coarse_patches
    resize = Count(0, BILINEAR * s.coarse_pixels)
    return resize + patch_embed(s, s.coarse_patches) + thrifty_encoder(s, tokens, learned) + quality(s)


def quality(s: Sizes) -> Count:
    """The MLP that judges the quality token, or the gain at every keypoint token."""
    judged = s.keypoints if s.judges_gain else 1
    return (norm(1, s.dim) + Count(2 * s.dim**2 + s.dim)) * judged


def fine_executed(s: Sizes) -> Count:
    """Kept patches alone are embedded and reused (and only for them, and for all that stand in for themselves by their
    output, the coarse stage's last block is completed); the last block computes the keypoint tokens alone."""
    if "coarse" not in s.stages:
        return patch_embed(s, s.fine_patches) + fine_encoder(s, executed=True)
    asked = s.coarse_patches if s.output_stands_in else s.keep
    completed = read(s, 1 + s.keypoints + s.coarse_patches, asked) + norm(asked, s.dim)
    reuse = norm(s.keep, s.dim) + Count(2 * s.mlp_ratio * s.dim**2 * s.keep)
    return completed + reuse + patch_embed(s, s.ratio**2 * s.keep) + fine_encoder(s, executed=True)


def fine_encoder(s: Sizes, executed: bool = False) -> Count:
    """All blocks of the fine stage; between attention and MLP of each, pairs of similar patches may be merged.

    As executed the last block computes the output of the keypoint tokens alone, and merges nothing.
    """
    mixed = s.ratio**2 * s.keep + s.coarse_patches - s.keep
    patches, cost = mixed if "coarse" in s.stages else s.fine_patches, Count(0)
    for _ in range(s.depth - executed):
        half = patches // 2
        left = patches - min(s.merges, half)
        # half of the patches are compared with the others, by the mean of their heads' keys
        comparing = Count(half * (patches - half) * s.dim // s.heads if left < patches else 0)
        cost += comparing + block(s, s.keypoints + patches, s.keypoints + left)
        patches = left
    tokens = s.keypoints + patches
    if executed:
        return cost + last_block(s, tokens, s.keypoints) + norm(s.keypoints, s.dim)
    return cost + norm(tokens, s.dim)


def thrifty_encoder(s: Sizes, tokens: int, wanted: int) -> Count:
    """All blocks over `tokens` tokens, the last one and the final norm for the output of `wanted` of them."""
    return block(s, tokens) * (s.depth - 1) + last_block(s, tokens, wanted) + norm(wanted, s.dim)


def last_block(s: Sizes, tokens: int, wanted: int) -> Count:
    """Keys and values of all `tokens`, everything else for `wanted` of them."""
    return norm(tokens, s.dim) + Count(2 * s.dim**2 * tokens) + read(s, tokens, wanted)


def read(s: Sizes, tokens: int, wanted: int) -> Count:
    """What is left of a block once keys and values of its `tokens` are there, for the output of `wanted` of them."""
    linear = (2 + 2 * s.mlp_ratio) * s.dim**2 * wanted
    return Count(linear + 2 * wanted * tokens * s.dim) + norm(wanted, s.dim) * 2


def patch_embed(s: Sizes, patches: int) -> Count:
    return Count(patches * s.patch_pixels * s.dim)


def encoder(s: Sizes, tokens: int) -> Count:
    """The blocks and the final norm over `tokens` tokens."""
    return block(s, tokens) * s.depth + norm(tokens, s.dim)


def block(s: Sizes, tokens: int, leaving: int | None = None) -> Count:
    """qkv, q·kᵀ, attention·v, projection, MLP; where some merge before the MLP, `leaving` tokens go through it."""
    left = tokens if leaving is None else leaving
    linear = 4 * s.dim**2 * tokens + 2 * s.mlp_ratio * s.dim**2 * left
    attention = 2 * tokens**2 * s.dim
    return Count(linear + attention) + norm(tokens, s.dim) + norm(left, s.dim)


def head(s: Sizes) -> Count:
    """Keypoint tokens to heatmaps, once."""
    if s.single_head:
        return norm(s.keypoints, s.dim) + Count(s.keypoints * s.dim * s.heatmap_pixels)
    hidden = s.heatmap_pixels // 2
    products = Count(s.keypoints * hidden * (s.dim + s.heatmap_pixels))
    return norm(s.keypoints, s.dim) + products + norm(s.keypoints, hidden)


def norm(tokens: int, dim: int) -> Count:
    return Count(0, NORM * tokens * dim)


def parameters(config: Mapping[str, Any]) -> int:
    """Learned numbers of the stages: tokens, position tables, shared blocks, reuse MLP, quality predictor, head."""
    s = sizes(config)
    d = s.dim
    embed = linear(s.patch_pixels, d)
    mlp = linear(d, s.mlp_ratio * d) + linear(s.mlp_ratio * d, d)
    block = 2 * d + linear(d, 3 * d) + linear(d, d) + 2 * d + mlp
    shared = s.keypoints * d + embed + s.depth * block + 2 * d + head_parameters(s)
    judge = 2 * d + 2 * linear(d, d) + linear(d, 1)
    # without the quality, what the gain is judged by comes beside it
    coarse = (1 + s.coarse_patches) * d + judge * (1 + s.judges_gain) if "coarse" in s.stages else 0
    fine = s.fine_patches * d if "fine" in s.stages else 0
    reuse = 2 * d + mlp if len(s.stages) == 2 else 0
    return shared + coarse + fine + reuse


def head_parameters(s: Sizes) -> int:
    if s.single_head:
        return 2 * s.dim + linear(s.dim, s.heatmap_pixels)
    hidden = s.heatmap_pixels // 2
    return 2 * s.dim + linear(s.dim, hidden) + 2 * hidden + linear(hidden, s.heatmap_pixels)


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs
