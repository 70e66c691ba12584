"""Sizes of OKDHP's stacked hourglasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Whole, check, sized
from sharpose.models.layers.cnn_config import CnnConfig
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class OkdhpConfig(CnnConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    stacks: Whole
    features: Whole = 256
    depth: Whole = 4
    """Halvings inside an hourglass."""
    branches: Whole = 1
    """1: a plain net. More: a net for training, whose branches share all stacks but the last two."""
    ensemble_hidden: Whole = 64
    num_keypoints: Whole = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.features % 4 == 0, "features", self.features, "a multiple of 4")
        shares = self.stacks > self.branch_stacks
        check(shares, "stacks", self.stacks, f"more than the {self.branch_stacks} that every branch has of its own")
        self.check_quarter(step=4 * 2**self.depth)

    @property
    def branch_stacks(self) -> int:
        """Stacks that every branch has of its own."""
        return 2 if self.branches > 1 else 0


# MPII's size and keypoints; which of the two gave the paper's 90.6 is not known
SIZES: dict[str, dict[str, Any]] = {
    "okdhp-hourglass-4-256x256": sized((256, 256), stacks=4),
    "okdhp-hourglass-8-256x256": sized((256, 256), stacks=8),
    # a narrow stand-in, at most as costly as sharpose-nano-128x96
    "okdhp-hourglass-nano-128x96": sized((128, 96), stacks=2, features=64, depth=3, num_keypoints=17),
    "okdhp-hourglass-nano-128x128-mpii": sized((128, 128), stacks=2, features=64, depth=3),
}

SYSTEM = System(
    name="Okdhp",
    config=OkdhpConfig,
    model="sharpose.models.okdhp.model:Okdhp",
    sizes=SIZES,
    cost="sharpose.models.okdhp.cost:okdhp",
    objective="sharpose.training.stacked:OkdhpObjective",
    layouts="sharpose.models.okdhp.layouts:LAYOUTS",
)
