"""HRFormer's sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Whole, Wholes, check_heads, sized
from sharpose.models.hrnet.cost import Layers, hrnet
from sharpose.models.layers.cnn_config import CnnConfig, check_branches
from sharpose.models.layers.cost import BILINEAR, Cost, Size, convolution, layer_norm, linear, resize
from sharpose.models.system import System
from sharpose.runtime.fields import ShareBelowOne


@dataclass(frozen=True, kw_only=True)
class HRFormerConfig(CnnConfig):
    """Sizes are (height, width) in pixels; `modules` counts the modules of stages 2, 3 and 4."""

    widths: Wholes
    """Channels of the branches, finest first."""
    num_heads: Wholes
    """Heads of the branches, finest first."""
    modules: Wholes
    blocks_per_branch: Whole = 2
    window_size: Whole = 7
    mlp_ratio: Whole = 4
    stage1_blocks: Whole = 2
    stage1_planes: Whole = 64
    stem_channels: Whole = 64
    position_bias: bool = False
    """Whether attention adds its table of relative positions: the official pose code has one and leaves it out (its
    numbers show it), mmpose's port adds it."""
    drop_path: ShareBelowOne = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_branches(self, "modules", "widths", "num_heads")
        for width, heads in zip(self.widths, self.num_heads, strict=True):
            check_heads(width, heads)
        # branches that do not halve evenly are resized where they meet
        self.check_quarter(step=4)


def cost(config: HRFormerConfig) -> Cost:
    """Return the closed form: HRNet's, of other layers."""

    def branch(index: int, size: Size) -> Cost:
        return window_block(config, config.widths[index], config.num_heads[index], size) * config.blocks_per_branch

    def up(before: int, after: int, small: Size, large: Size) -> Cost:
        factor = round(large[0] / small[0])
        reached = (small[0] * factor, small[1] * factor)
        resized = convolution(before, after, 1, small) + resize(after, reached, BILINEAR)
        return resized if reached == large else resized + resize(after, large, BILINEAR)

    def down(before: int, after: int, size: Size) -> Cost:
        return convolution(before, before, 3, size, groups=before) + convolution(before, after, 1, size)

    return hrnet(config, Layers(branch, up, down))


def window_block(config: HRFormerConfig, dim: int, heads: int, size: Size) -> Cost:
    """Count attention in windows over the padded map, then three convolutions."""
    window, hidden = config.window_size, config.mlp_ratio * dim
    padded = math.prod(math.ceil(side / window) * window for side in size)
    attention = linear(dim, dim, padded) * 4 + Cost(2 * padded * window**2 * dim, 0, (2 * window - 1) ** 2 * heads)
    mlp = convolution(dim, hidden, 1, size, bias=True) + convolution(hidden, dim, 1, size, bias=True)
    mlp += convolution(hidden, hidden, 3, size, groups=hidden, bias=True)
    return layer_norm(dim, math.prod(size)) * 2 + attention + mlp


SMALL = {"widths": (32, 64, 128, 256), "num_heads": (1, 2, 4, 8), "modules": (1, 4, 2), "drop_path": 0.1}
BASE = {"widths": (78, 156, 312, 624), "num_heads": (2, 4, 8, 16), "modules": (1, 4, 2), "drop_path": 0.2}
# A narrow stand-in, at most as costly as sharpose-nano-128x96
NANO = {
    "widths": (18, 36, 72, 144),
    "num_heads": (1, 2, 4, 8),
    "modules": (1, 1, 1),
    "stage1_planes": 16,
    "stem_channels": 32,
}

SIZES: dict[str, dict[str, Any]] = {
    "hrformer-small-256x192": sized((256, 192), **SMALL),
    "hrformer-small-384x288": sized((384, 288), **SMALL),
    "hrformer-base-256x192": sized((256, 192), **BASE),
    "hrformer-base-384x288": sized((384, 288), **BASE),
    "hrformer-nano-128x96": sized((128, 96), **NANO),
}

SYSTEM = System(
    name="HRFormer",
    config=HRFormerConfig,
    model="sharpose.models.hrformer.model:HRFormer",
    sizes=SIZES,
    cost=cost,
    layouts="sharpose.models.hrformer.layouts:LAYOUTS",
    cases={"HRFormer": "experiments.conformance.models:check_backbone"},
)
