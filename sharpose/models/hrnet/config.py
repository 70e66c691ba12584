"""HRNet's sizes. The same network appears with three codecs: plain (as published), DARK and UDP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sharpose.models.config import Whole, Wholes, check, check_heads, sized
from sharpose.models.layers.cnn_config import CnnConfig, check_branches
from sharpose.models.layout import MMPOSE, ORIGINAL, Layout, Table
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class HRNetConfig(CnnConfig):
    """Sizes are (height, width) in pixels; `modules` counts the modules of stages 2, 3 and 4."""

    widths: Wholes
    """Channels of the branches, finest first."""
    modules: Wholes = (1, 4, 3)
    blocks_per_branch: Whole = 4
    stage1_blocks: Whole = 4
    stage1_planes: Whole = 64
    stem_channels: Whole = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_quarter(step=check_branches(self, "modules", "widths"))


@dataclass(frozen=True, kw_only=True)
class StemConfig(CnnConfig):
    """A transformer with DETR's positions behind an HRNet without its last stage, or behind no such stem."""

    embed_dim: Whole
    depth: Whole
    num_heads: Whole
    stem_widths: tuple[Whole, ...] = ()
    """Branches of the HRNet; none: no such stem."""
    stem_modules: Wholes = (1, 4)
    stem_blocks_per_branch: Whole = 4
    stem_stage1_blocks: Whole = 4
    stem_stage1_planes: Whole = 64
    stem_channels: Whole = 64
    codec: Literal["msra", "dark", "udp"] = "dark"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_heads(self.embed_dim, self.num_heads)
        check(self.embed_dim % 4 == 0, "embed_dim", self.embed_dim, "a multiple of 4, for the sine table")

    def stem_stride(self) -> int:
        """Return the stride of the stem's coarsest branch. Raises InputError where its fields do not go together."""
        return check_branches(self, "stem_modules", "stem_widths")

    @property
    def stem(self) -> HRNetConfig:
        """Return the HRNet whose trunk comes before the transformer."""
        return HRNetConfig(
            **sized(self.image_size),
            widths=self.stem_widths,
            modules=self.stem_modules,
            blocks_per_branch=self.stem_blocks_per_branch,
            stage1_blocks=self.stem_stage1_blocks,
            stage1_planes=self.stem_stage1_planes,
            stem_channels=self.stem_channels,
        )


W32, W48 = (32, 64, 128, 256), (48, 96, 192, 384)

# A narrow stand-in, at most as costly as sharpose-nano-128x96
NANO: dict[str, Any] = {
    "modules": (1, 2, 1),
    "blocks_per_branch": 2,
    "stage1_blocks": 2,
    "stage1_planes": 16,
    "stem_channels": 32,
}

# 256x256 is MPII's size, with its 16 keypoints
SIZES: dict[str, dict[str, Any]] = {
    "hrnet-w32-256x192": sized((256, 192), widths=W32),
    "hrnet-w48-256x192": sized((256, 192), widths=W48),
    "hrnet-w48-384x288": sized((384, 288), widths=W48),
    "hrnet-w48-256x256": sized((256, 256), widths=W48, num_keypoints=16),
    "hrnet-nano-128x96": sized((128, 96), widths=(16, 32, 64, 128), **NANO),
    # without the last branch, as 144 is no multiple of its stride, 32
    "hrnet-nano-192x144": sized((192, 144), widths=(16, 32, 64), **{**NANO, "modules": (1, 2)}),
    "hrnet-nano-128x128-mpii": sized((128, 128), widths=(16, 32, 64, 128), **NANO, num_keypoints=16),
}

TIMM: Table = (
    (r"^(?:incre_modules|downsamp_modules|final_layer|classifier)\.", None),
    # of the last module only the finest branch's output is used
    (r"^stage4\.2\.fuse_layers\.[123]\.", None),
    (r"^", "backbone."),
)

SYSTEM = System(
    name="HRNet",
    config=HRNetConfig,
    model="sharpose.models.hrnet.model:HRNet",
    sizes=SIZES,
    cost="sharpose.models.hrnet.cost:hrnet",
    layouts=(Layout("mmpose", MMPOSE), Layout("original", ORIGINAL), Layout("timm", TIMM, untrained=("head.*",))),
    cases={"HRNet": "experiments.conformance.models:check_backbone"},
)
