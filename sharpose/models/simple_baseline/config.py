"""SimpleBaseline's sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Whole, sized
from sharpose.models.layers.cnn_config import CnnConfig, ResNetDepth
from sharpose.models.layout import MMPOSE, ORIGINAL, TORCHVISION, Layout
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class SimpleBaselineConfig(CnnConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    resnet_depth: ResNetDepth
    stem_channels: Whole = 64
    base_channels: Whole = 64
    """Planes of the first stage; every stage doubles them."""
    deconv_filters: tuple[Whole, Whole, Whole] = (256, 256, 256)
    """1/32 of the size, doubled three times."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_quarter(step=32)


# a narrow stand-in, at most as costly as sharpose-nano-128x96
NANO: dict[str, Any] = {"stem_channels": 24, "base_channels": 24, "deconv_filters": (48, 48, 48)}

# 256x256 is MPII's size, with its 16 keypoints
SIZES: dict[str, dict[str, Any]] = {
    **{
        f"simple-baseline-r{depth}-{height}x{width}": sized((height, width), resnet_depth=depth)
        for depth in (50, 101, 152)
        for height, width in ((256, 192), (384, 288))
    },
    **{
        f"simple-baseline-r{depth}-256x256": sized((256, 256), resnet_depth=depth, num_keypoints=16)
        for depth in (50, 101, 152)
    },
    "simple-baseline-nano-128x96": sized((128, 96), resnet_depth=18, **NANO),
    "simple-baseline-nano-128x128-mpii": sized((128, 128), resnet_depth=18, **NANO, num_keypoints=16),
}

SYSTEM = System(
    name="SimpleBaseline",
    config=SimpleBaselineConfig,
    model="sharpose.models.simple_baseline.model:SimpleBaseline",
    sizes=SIZES,
    cost="sharpose.models.simple_baseline.cost:simple_baseline",
    layouts=(
        Layout("mmpose", MMPOSE),
        Layout("original", ORIGINAL),
        Layout("torchvision", TORCHVISION, untrained=("head.*", "deconv_layers.*")),
    ),
    cases={"SimpleBaseline": "experiments.conformance.models:check_backbone"},
)
