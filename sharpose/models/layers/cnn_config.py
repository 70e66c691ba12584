"""What the convolutional systems have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import PoseConfig, check


@dataclass(frozen=True, kw_only=True)
class CnnConfig(PoseConfig):
    """Heatmaps are a quarter of the image."""

    def check_quarter(self, step: int) -> None:
        """The image's sides are multiples of `step`, and the heatmap's are a quarter of them."""
        self.check_sides(step)
        quarter = (self.image_size[0] // 4, self.image_size[1] // 4)
        check(self.heatmap_size == quarter, "heatmap_size", self.heatmap_size, f"a quarter of image_size: {quarter}")

    def check_sides(self, step: int) -> None:
        """The image's sides are multiples of `step`."""
        divisible = all(side % step == 0 for side in self.image_size)
        check(divisible, "image_size", self.image_size, f"two multiples of {step}")


def check_branches(config: Any, modules: str, *names: str) -> int:
    """Parallel branches, one more with each of the stages that `modules` lists: these fields say something of each.

    Returns the stride of the coarsest branch.
    """
    branches = len(getattr(config, modules)) + 1
    for name in names:
        value = getattr(config, name)
        check(len(value) == branches, name, value, f"{branches} numbers: one more than {modules} has")
    return int(2 ** (branches + 1))
