"""HRNet's sizes. The same network appears with three codecs: plain (as published), DARK and UDP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Whole, Wholes, sized
from sharpose.models.layers.cnn_config import CnnConfig, check_branches
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class HRNetConfig(CnnConfig):
    """Sizes are (height, width) in pixels; `modules` counts the modules of stages 2, 3 and 4.

    Raises InputError naming the field that is out of range.
    """

    widths: Wholes
    """Channels of the branches, finest first."""
    modules: Wholes = (1, 4, 3)
    blocks_per_branch: Whole = 4
    stage1_blocks: Whole = 4
    stage1_planes: Whole = 64
    stem_channels: Whole = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_quarter(step=2 ** (check_branches(self, "modules", "widths") + 1))


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

SYSTEM = System(
    name="HRNet",
    config=HRNetConfig,
    model="sharpose.models.hrnet.model:HRNet",
    sizes=SIZES,
    cost="sharpose.models.hrnet.cost:hrnet",
    layouts="sharpose.models.hrnet.layouts:LAYOUTS",
    cases={"HRNet": "experiments.conformance.models:check_backbone"},
)
