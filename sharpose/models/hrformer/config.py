"""HRFormer's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Size, check_heads, check_share, check_whole
from sharpose.models.layers.cnn_config import CnnConfig, check_branches
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class HRFormerConfig(CnnConfig):
    """Sizes are (height, width) in pixels; `modules` counts the modules of stages 2, 3 and 4.

    Raises InputError naming the field that is out of range.
    """

    widths: tuple[int, ...]
    """Channels of the branches, finest first."""
    num_heads: tuple[int, ...]
    """Heads of the branches, finest first."""
    modules: tuple[int, ...]
    blocks_per_branch: int = 2
    window_size: int = 7
    mlp_ratio: int = 4
    stage1_blocks: int = 2
    stage1_planes: int = 64
    stem_channels: int = 64
    position_bias: bool = False
    """Whether attention adds its table of relative positions: the official pose code has one and leaves it out (its
    numbers show it), mmpose's port adds it."""
    drop_path: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "blocks_per_branch", "window_size", "mlp_ratio", "stage1_blocks", "stage1_planes")
        check_whole(self, "stem_channels")
        check_branches(self, "modules", "widths", "num_heads")
        for width, heads in zip(self.widths, self.num_heads, strict=True):
            check_heads(width, heads)
        check_share(self, "drop_path", below_one=True)
        # branches that do not halve evenly are resized where they meet
        self.check_quarter(step=4)


def values(image: Size, **more: Any) -> dict[str, Any]:
    """Return the options of a size; heatmaps are a quarter of the image (height, width)."""
    sizes = {"image_size": image, "heatmap_size": (image[0] // 4, image[1] // 4)}
    return {**sizes, **more}


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
    "hrformer-small-256x192": values((256, 192), **SMALL),
    "hrformer-small-384x288": values((384, 288), **SMALL),
    "hrformer-base-256x192": values((256, 192), **BASE),
    "hrformer-base-384x288": values((384, 288), **BASE),
    "hrformer-nano-128x96": values((128, 96), **NANO),
}

SYSTEM = System(
    name="HRFormer",
    config=HRFormerConfig,
    model="sharpose.models.hrformer.model:HRFormer",
    sizes=SIZES,
    cost="sharpose.models.hrformer.cost:hrformer",
    layouts="sharpose.models.hrformer.layouts:LAYOUTS",
    cases={"HRFormer": "experiments.conformance.parallel_branches:check_hrformer"},
)
