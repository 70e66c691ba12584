"""HRNet's sizes. The same network appears with three codecs: plain (as published), DARK and UDP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Size, check_whole
from sharpose.models.layers.cnn_config import CnnConfig, check_branches
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class HRNetConfig(CnnConfig):
    """Sizes are (height, width) in pixels; `modules` counts the modules of stages 2, 3 and 4.

    Raises InputError naming the field that is out of range.
    """

    widths: tuple[int, ...]
    """Channels of the branches, finest first."""
    modules: tuple[int, ...] = (1, 4, 3)
    blocks_per_branch: int = 4
    stage1_blocks: int = 4
    stage1_planes: int = 64
    stem_channels: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "blocks_per_branch", "stage1_blocks", "stage1_planes", "stem_channels")
        self.check_quarter(step=2 ** (check_branches(self, "modules", "widths") + 1))


def values(image: Size, widths: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """Return the options of a size; heatmaps are a quarter of the image (height, width)."""
    sizes = {"image_size": image, "heatmap_size": (image[0] // 4, image[1] // 4), "widths": widths}
    return {**sizes, **more}


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
    "hrnet-w32-256x192": values((256, 192), W32),
    "hrnet-w48-256x192": values((256, 192), W48),
    "hrnet-w48-384x288": values((384, 288), W48),
    "hrnet-w48-256x256": values((256, 256), W48, num_keypoints=16),
    "hrnet-nano-128x96": values((128, 96), (16, 32, 64, 128), **NANO),
    # without the last branch, as 144 is no multiple of its stride, 32
    "hrnet-nano-192x144": values((192, 144), (16, 32, 64), **{**NANO, "modules": (1, 2)}),
    "hrnet-nano-128x128-mpii": values((128, 128), (16, 32, 64, 128), **NANO, num_keypoints=16),
}

SYSTEM = System(
    name="HRNet",
    config=HRNetConfig,
    model="sharpose.models.hrnet.model:HRNet",
    sizes=SIZES,
    cost="sharpose.models.hrnet.cost:hrnet",
    layouts="sharpose.models.hrnet.layouts:LAYOUTS",
    cases={"HRNet": "experiments.conformance.parallel_branches:check_hrnet"},
)
