"""Sizes of stacked hourglasses as they were published; OKDHP builds on the same blocks, with a wider stem."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Size, check, check_whole
from sharpose.models.layers.cnn_config import CnnConfig
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class StackedHourglassConfig(CnnConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    stacks: int
    features: int = 256
    depth: int = 4
    """Halvings inside an hourglass."""
    num_keypoints: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self, "stacks", "features", "depth")
        check(self.features % 4 == 0, "features", self.features, "a multiple of 4")
        self.check_quarter(step=4 * 2**self.depth)


def values(image: Size, stacks: int, **more: Any) -> dict[str, Any]:
    """Return the fields of a size; heatmaps are a quarter of the image."""
    sizes = {"image_size": image, "heatmap_size": (image[0] // 4, image[1] // 4), "stacks": stacks}
    return {**sizes, **more}


COCO = {"num_keypoints": 17}
# a narrow stand-in, at most as costly as sharpose-nano-128x96
NANO = {"features": 64, "depth": 3}

# MPII's size and keypoints, as published; 256x192 is COCO's of CPN's and HRNet's tables
SIZES: dict[str, dict[str, Any]] = {
    "hourglass-2-256x256": values((256, 256), 2),
    "hourglass-8-256x256": values((256, 256), 8),
    "hourglass-8-256x192": values((256, 192), 8, **COCO),
    "hourglass-nano-128x96": values((128, 96), 2, **NANO, **COCO),
    "hourglass-nano-128x128-mpii": values((128, 128), 2, **NANO),
}

SYSTEM = System(
    name="StackedHourglass",
    config=StackedHourglassConfig,
    model="sharpose.models.stacked_hourglass.model:StackedHourglass",
    sizes=SIZES,
    cost="sharpose.models.stacked_hourglass.cost:stacked_hourglass",
    objective="sharpose.training.stacked:StackedObjective",
    layouts="sharpose.models.stacked_hourglass.layouts:LAYOUTS",
)
