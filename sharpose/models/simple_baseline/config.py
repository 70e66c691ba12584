"""SimpleBaseline's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Size, check, check_whole, check_whole_list
from sharpose.models.layers.cnn_config import CnnConfig
from sharpose.models.system import System

# kind of block, and blocks per stage
RESNETS: dict[int, tuple[str, tuple[int, ...]]] = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


@dataclass(frozen=True, kw_only=True)
class SimpleBaselineConfig(CnnConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    resnet_depth: int
    stem_channels: int = 64
    base_channels: int = 64
    """Planes of the first stage; every stage doubles them."""
    deconv_filters: tuple[int, ...] = (256, 256, 256)

    def __post_init__(self) -> None:
        super().__post_init__()
        listed = "one of " + ", ".join(map(str, RESNETS))
        check(self.resnet_depth in RESNETS, "resnet_depth", self.resnet_depth, listed)
        check_whole(self, "stem_channels", "base_channels")
        check_whole_list(self, "deconv_filters")
        # 1/32 of the size, doubled three times
        check(len(self.deconv_filters) == 3, "deconv_filters", self.deconv_filters, "three numbers")
        self.check_quarter(step=32)


def values(image: Size, depth: int, **more: Any) -> dict[str, Any]:
    """Return the options of a size; heatmaps are a quarter of the image (height, width)."""
    sizes = {"image_size": image, "heatmap_size": (image[0] // 4, image[1] // 4), "resnet_depth": depth}
    return {**sizes, **more}


# a narrow stand-in, at most as costly as sharpose-nano-128x96
NANO: dict[str, Any] = {"stem_channels": 24, "base_channels": 24, "deconv_filters": (48, 48, 48)}

# 256x256 is MPII's size, with its 16 keypoints
SIZES: dict[str, dict[str, Any]] = {
    **{
        f"simple-baseline-r{depth}-{height}x{width}": values((height, width), depth)
        for depth in (50, 101, 152)
        for height, width in ((256, 192), (384, 288))
    },
    **{f"simple-baseline-r{depth}-256x256": values((256, 256), depth, num_keypoints=16) for depth in (50, 101, 152)},
    "simple-baseline-nano-128x96": values((128, 96), 18, **NANO),
    "simple-baseline-nano-128x128-mpii": values((128, 128), 18, **NANO, num_keypoints=16),
}

SYSTEM = System(
    name="SimpleBaseline",
    config=SimpleBaselineConfig,
    model="sharpose.models.simple_baseline.model:SimpleBaseline",
    sizes=SIZES,
    cost="sharpose.models.simple_baseline.cost:simple_baseline",
    layouts="sharpose.models.simple_baseline.layouts:LAYOUTS",
    cases={"SimpleBaseline": "experiments.conformance.simple_baseline:check_simple_baseline"},
)
