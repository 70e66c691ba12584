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
    stages: tuple[str, ...]


def sizes(config: Mapping[str, Any]) -> Sizes:
    """Derive every size from the configuration; KeyError names a field it lacks."""
    height, width = config["image_size"]
    patch, ratio, dim = config["patch_size"], config["refine_ratio"], config["embed_dim"]
    coarse_patches = (height // ratio // patch) * (width // ratio // patch)
    wanted = config["alpha"] * coarse_patches
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
        keep=math.ceil(wanted) if config["keep_rounding"] == "ceil" else math.floor(wanted),
        single_head=config["head"] == "single" or (config["head"] == "auto" and dim >= pixels / 4),
        stages=tuple(config["stages"].split("-")),
    )


def macs(config: Mapping[str, Any]) -> dict[str, Count]:
    """Multiply-adds per image of the stages `coarse`, `fine`, `coarse_head`, `fine_head` and their `total`.

    Every image is refined, as in the paper's tables: an early exit saves `fine` and `fine_head` of its image.
    """
    s = sizes(config)
    stages = {"coarse": coarse_stage(s), "fine": fine_stage(s), "coarse_head": head(s), "fine_head": head(s)}
    stages = {stage: count for stage, count in stages.items() if stage.split("_")[0] in s.stages}
    return {**stages, "total": sum(stages.values(), start=Count(0))}


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
    quality = norm(1, s.dim) + Count(2 * s.dim**2 + s.dim)
    return resize + patch_embed(s, s.coarse_patches) + encoder(s, tokens) + quality


def fine_stage(s: Sizes) -> Count:
    """Embed the full picture, then all blocks: over the mixed sequence, with the coarse outputs reused (Section 3.4),
    or over all fine patches where there is no coarse stage."""
    if "coarse" not in s.stages:
        return patch_embed(s, s.fine_patches) + encoder(s, s.keypoints + s.fine_patches)
    tokens = s.keypoints + s.ratio**2 * s.keep + s.coarse_patches - s.keep
    mlp = Count(2 * s.mlp_ratio * s.dim**2 * s.coarse_patches)
    reuse = norm(s.coarse_patches, s.dim) + mlp + Count(0, NEAREST * s.fine_patches * s.dim)
    return patch_embed(s, s.fine_patches) + reuse + encoder(s, tokens)


def patch_embed(s: Sizes, patches: int) -> Count:
    return Count(patches * s.patch_pixels * s.dim)


def encoder(s: Sizes, tokens: int) -> Count:
    """The blocks and the final norm over `tokens` tokens: qkv, q·kᵀ, attention·v, projection, MLP."""
    linear = (4 + 2 * s.mlp_ratio) * s.dim**2 * tokens
    attention = 2 * tokens**2 * s.dim
    block = Count(linear + attention) + norm(tokens, s.dim) * 2
    return block * s.depth + norm(tokens, s.dim)


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
    quality = 2 * d + 2 * linear(d, d) + linear(d, 1)
    coarse = (1 + s.coarse_patches) * d + quality if "coarse" in s.stages else 0
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
