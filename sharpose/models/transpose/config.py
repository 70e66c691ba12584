"""TransPose's sizes, those of its public configurations (github.com/yangsenius/TransPose, experiments/coco)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import Size, Whole, Wholes, check, check_heads, sized
from sharpose.models.layers.cnn_config import CnnConfig, check_branches
from sharpose.models.simple_baseline.config import ResNetDepth
from sharpose.models.system import System
from sharpose.runtime.fields import ShareBelowOne


@dataclass(frozen=True, kw_only=True)
class TransPoseConfig(CnnConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    embed_dim: Whole
    hidden_dim: Whole
    """Of the layers' MLPs."""
    depth: Whole
    num_heads: Whole = 1
    dropout: ShareBelowOne = 0.1
    stem_widths: tuple[Whole, ...] = ()
    """Branches of an HRNet without its last stage (H); none: the first two stages of a ResNet (R)."""
    stem_modules: Wholes = (1, 4)
    stem_blocks_per_branch: Whole = 4
    stem_stage1_blocks: Whole = 4
    stem_stage1_planes: Whole = 64
    stem_channels: Whole = 64
    resnet_depth: ResNetDepth = 50
    resnet_channels: Whole = 64
    """Planes of the ResNet's first stage."""
    codec: Literal["msra", "dark", "udp"] = "dark"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.embed_dim, self.num_heads)
        check(self.embed_dim % 4 == 0, "embed_dim", self.embed_dim, "a multiple of 4, for the sine table")
        step = 8
        if self.stem_widths:
            step = 2 ** (check_branches(self, "stem_modules", "stem_widths") + 1)
        self.check_quarter(step)

    @property
    def grid(self) -> Size:
        """Rows and columns of tokens: those of the heatmaps behind an HRNet, half as many behind a ResNet."""
        factor = 1 if self.stem_widths else 2
        return self.heatmap_size[0] // factor, self.heatmap_size[1] // factor


def tokens_per_block(config: TransPoseConfig) -> list[int]:
    """Tokens that each layer works on."""
    return [math.prod(config.grid)] * config.depth


R = {"embed_dim": 256, "hidden_dim": 1024, "num_heads": 8}
W32 = {"embed_dim": 64, "hidden_dim": 128, "stem_widths": (32, 64, 128)}
W48 = {"embed_dim": 96, "hidden_dim": 192, "stem_widths": (48, 96, 192)}
# small stand-ins, at most as costly as sharpose-nano-128x96
NANO_R = {"embed_dim": 96, "hidden_dim": 192, "num_heads": 6, "resnet_depth": 18}
NANO_H = {
    "embed_dim": 24,
    "hidden_dim": 48,
    "stem_widths": (16, 32, 64),
    "stem_modules": (1, 1),
    "stem_blocks_per_branch": 2,
    "stem_stage1_blocks": 2,
    "stem_stage1_planes": 16,
    "stem_channels": 32,
}

SIZES: dict[str, dict[str, Any]] = {
    "transpose-r-a3-256x192": sized((256, 192), depth=3, **R),
    "transpose-r-a4-256x192": sized((256, 192), depth=4, **R),
    "transpose-h-s-256x192": sized((256, 192), depth=4, **W32),
    "transpose-h-a4-256x192": sized((256, 192), depth=4, **W48),
    "transpose-h-a6-256x192": sized((256, 192), depth=6, **W48),
    "transpose-r-nano-128x96": sized((128, 96), depth=4, dropout=0.0, stem_channels=24, resnet_channels=24, **NANO_R),
    "transpose-h-nano-128x96": sized((128, 96), depth=2, dropout=0.0, **NANO_H),
}

SYSTEM = System(
    name="TransPose",
    config=TransPoseConfig,
    model="sharpose.models.transpose.model:TransPose",
    sizes=SIZES,
    cost="sharpose.models.transpose.cost:transpose",
    tokens_per_block=tokens_per_block,
    layouts="sharpose.models.transpose.layouts:LAYOUTS",
)
