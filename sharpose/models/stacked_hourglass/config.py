"""Sizes of stacked hourglasses as they were published; OKDHP builds on the same blocks, with a wider stem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Whole, check, sized
from sharpose.models.layers.cnn_config import CnnConfig
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class StackedHourglassConfig(CnnConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    stacks: Whole
    features: Whole = 256
    depth: Whole = 4
    """Halvings inside an hourglass."""
    num_keypoints: Whole = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.features % 4 == 0, "features", self.features, "a multiple of 4")
        self.check_quarter(step=4 * 2**self.depth)

    @property
    def stem_planes(self) -> int:
        """Return the planes of the stem's second bottleneck, which gives twice as many channels."""
        return self.features // 4


COCO = {"num_keypoints": 17}
# a narrow stand-in, at most as costly as sharpose-nano-128x96
NANO = {"features": 64, "depth": 3}

# MPII's size and keypoints, as published; 256x192 is COCO's of CPN's and HRNet's tables
SIZES: dict[str, dict[str, Any]] = {
    "hourglass-2-256x256": sized((256, 256), stacks=2),
    "hourglass-8-256x256": sized((256, 256), stacks=8),
    "hourglass-8-256x192": sized((256, 192), stacks=8, **COCO),
    "hourglass-nano-128x96": sized((128, 96), stacks=2, **NANO, **COCO),
    "hourglass-nano-128x128-mpii": sized((128, 128), stacks=2, **NANO),
}

SYSTEM = System(
    name="StackedHourglass",
    config=StackedHourglassConfig,
    model="sharpose.models.stacked_hourglass.model:StackedHourglass",
    sizes=SIZES,
    cost="sharpose.models.stacked_hourglass.cost:stacked_hourglass",
    criterion="sharpose.training.stacked:StackedCriterion",
    layouts="sharpose.models.stacked_hourglass.layouts:LAYOUTS",
)
