"""HRFormer's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Whole, Wholes, check_heads, sized
from sharpose.models.layers.cnn_config import CnnConfig, check_branches
from sharpose.models.system import System
from sharpose.runtime.fields import ShareBelowOne


@dataclass(frozen=True, kw_only=True)
class HRFormerConfig(CnnConfig):
    """Sizes are (height, width) in pixels; `modules` counts the modules of stages 2, 3 and 4.

    Raises InputError naming the field that is out of range.
    """

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
    cost="sharpose.models.hrformer.cost:hrformer",
    layouts="sharpose.models.hrformer.layouts:LAYOUTS",
    cases={"HRFormer": "experiments.conformance.models:check_backbone"},
)
