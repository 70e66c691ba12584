"""TokenPose's sizes."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import Size, Whole, check, check_sides, sized
from sharpose.models.hrnet.config import StemConfig
from sharpose.models.hrnet.cost import trunk
from sharpose.models.layers.cost import Cost, block, linear, token_head
from sharpose.models.layout import Layout, Table
from sharpose.models.system import System

STEM_STRIDE = 4


@dataclass(frozen=True, kw_only=True)
class TokenPoseConfig(StemConfig):
    """Sizes are (height, width); patches are cut from the stem's map (L), or from the image where there is none (T)."""

    patch_size: Size
    stacks: Whole = 1
    """Of `depth` blocks each."""
    embed_dim: Whole = 192
    mlp_ratio: Whole = 3
    head: Literal["auto", "single", "two-layer"] = "auto"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stem_widths:
            check_sides(self.image_size, self.stem_stride())
        whole = all(side % patch == 0 for side, patch in zip(self.map_size, self.patch_size, strict=True))
        check(whole, "patch_size", self.patch_size, f"two divisors of {self.map_size}")

    @property
    def map_size(self) -> Size:
        """Return the size of what patches are cut from."""
        stride = STEM_STRIDE if self.stem_widths else 1
        return self.image_size[0] // stride, self.image_size[1] // stride

    @property
    def patch_channels(self) -> int:
        """Return the channels of what patches are cut from."""
        return self.stem_widths[0] if self.stem_widths else 3

    @property
    def patch_grid(self) -> Size:
        """Return rows and columns of patches."""
        return self.map_size[0] // self.patch_size[0], self.map_size[1] // self.patch_size[1]

    @property
    def head_hidden(self) -> int:
        """Return the hidden width of the two-layer head."""
        return math.prod(self.heatmap_size) // 8

    @property
    def has_two_layer_head(self) -> bool:
        """Return whether the head has two layers; `auto`, as in the release: where the tokens are narrow."""
        narrow = self.stacks * self.embed_dim <= self.head_hidden / 2
        return self.head == "two-layer" or (self.head == "auto" and narrow)


def tokens_per_block(config: TokenPoseConfig) -> list[int]:
    """Return tokens that each block works on."""
    return [config.num_keypoints + math.prod(config.patch_grid)] * (config.stacks * config.depth)


def cost(config: TokenPoseConfig) -> Cost:
    """Return the closed form: stem, patches, blocks over keypoint and patch tokens, head on those of all stacks."""
    dim, keypoints, (tokens, *_) = config.embed_dim, config.num_keypoints, tokens_per_block(config)
    whole = trunk(config.stem) if config.stem_widths else Cost()
    whole += linear(config.patch_channels * math.prod(config.patch_size), dim, tokens - keypoints)
    whole += Cost(params=tokens * dim)
    whole += block(dim, config.mlp_ratio, tokens, tokens, qkv_bias=False) * (config.stacks * config.depth)
    hidden = config.head_hidden if config.has_two_layer_head else 0
    return whole + token_head(config.stacks * dim, hidden, math.prod(config.heatmap_size), keypoints)


T = {"depth": 12, "num_heads": 16}
STEM = {"stacks": 3, "stem_widths": (48, 96, 192)}
# The release has D6 for MPII only, with 8 heads; no figure of the paper tells how many COCO's D6 has
D6 = {**STEM, "depth": 2, "num_heads": 8}
D24 = {**STEM, "depth": 8, "num_heads": 12}
MPII = {"num_keypoints": 16}
NANO_STEM: dict[str, Any] = {
    **{"stacks": 3, "num_heads": 6, "embed_dim": 96, "stem_widths": (16, 32, 64), "stem_modules": (1, 1)},
    **{"stem_blocks_per_branch": 1, "stem_stage1_blocks": 1, "stem_stage1_planes": 16, "stem_channels": 32},
}

SIZES: dict[str, dict[str, Any]] = {
    "tokenpose-t-256x192": sized((256, 192), patch_size=(16, 12), **T),
    "tokenpose-l-d6-256x192": sized((256, 192), patch_size=(4, 3), **D6),
    "tokenpose-l-d24-256x192": sized((256, 192), patch_size=(4, 3), **D24),
    "tokenpose-l-d24-384x288": sized((384, 288), patch_size=(6, 4), **D24),
    "tokenpose-t-256x256": sized((256, 256), patch_size=(16, 16), **T, **MPII),
    "tokenpose-l-d6-256x256": sized((256, 256), patch_size=(4, 4), **D6, **MPII),
    "tokenpose-l-d24-256x256": sized((256, 256), patch_size=(4, 4), **D24, **MPII),
    # a small stand-in, at most as costly as sharpose-nano-128x96
    "tokenpose-nano-128x96": sized((128, 96), patch_size=(8, 8), depth=4, num_heads=6, embed_dim=96),
    # with a small convolutional stem: L/D6 with as many blocks, L/D24 with half of them
    "tokenpose-nano-d6-128x96": sized((128, 96), patch_size=(2, 2), **NANO_STEM, depth=2),
    "tokenpose-nano-d12-192x144": sized((192, 144), patch_size=(3, 2), **NANO_STEM, depth=4),
    "tokenpose-nano-d12-128x128-mpii": sized((128, 128), patch_size=(2, 2), **NANO_STEM, depth=4, **MPII),
}

# the public names of a block's layers, and ours
LAYERS = (
    ("0.fn.norm", "norm1"),
    ("0.fn.fn.to_qkv", "attn.qkv"),
    ("0.fn.fn.to_out.0", "attn.proj"),
    ("1.fn.norm", "norm2"),
    ("1.fn.fn.net.0", "mlp.fc1"),
    ("1.fn.fn.net.3", "mlp.fc2"),
)
# TokenPose-T has one stack of layers called `transformer`, L has `transformer1` to `transformer3`
OFFICIAL: Table = (
    (r"^pre_feature\.", "stem."),
    (r"^transformer\.keypoint_token$", "keypoint_tokens"),
    (r"^transformer\.pos_embedding$", "pos_embed"),
    (r"^transformer\.patch_to_embedding\.", "patch_embed."),
    (r"^transformer\.mlp_head\.", "head."),
    *(
        (rf"^transformer\.transformer{number}\.layers\.(\d+)\.{re.escape(public)}\.", rf"stacks.{stack}.\1.{ours}.")
        for number, stack in (("", 0), ("1", 0), ("2", 1), ("3", 2))
        for public, ours in LAYERS
    ),
)

SYSTEM = System(
    name="TokenPose",
    config=TokenPoseConfig,
    model="sharpose.models.tokenpose.model:TokenPose",
    sizes=SIZES,
    cost=cost,
    tokens_per_block=tokens_per_block,
    layouts=(Layout("official", OFFICIAL),),
    cases={
        "TokenPose-T": "experiments.conformance.models:check_tokenpose",
        "TokenPose-L": "experiments.conformance.models:check_tokenpose",
    },
)
