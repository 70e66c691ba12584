"""Sizes of OKDHP's stacked hourglasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sharpose.models.config import Whole, check, sized
from sharpose.models.layers.cost import Cost, convolution, linear, total
from sharpose.models.layout import Layout, Table
from sharpose.models.stacked_hourglass.config import StackedHourglassConfig
from sharpose.models.stacked_hourglass.cost import handed_on, stack, stem
from sharpose.models.system import System


@dataclass(frozen=True, kw_only=True)
class OkdhpConfig(StackedHourglassConfig):
    """Sizes are (height, width) in pixels. Raises InputError naming the field that is out of range."""

    branches: Whole = 1
    """1: a plain net. More: a net for training, whose branches share all stacks but the last two."""
    ensemble_hidden: Whole = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        shares = self.stacks > self.branch_stacks
        check(shares, "stacks", self.stacks, f"more than the {self.branch_stacks} that every branch has of its own")

    @property
    def branch_stacks(self) -> int:
        """Return stacks that every branch has of its own."""
        return 2 if self.branches > 1 else 0

    @property
    def stem_planes(self) -> int:
        """Return the planes of the stem's second bottleneck, which gives twice as many channels."""
        return self.features // 2


def cost(config: OkdhpConfig) -> Cost:
    """Return the closed form; with more than one branch also their own stacks and the weights of the ensemble."""
    width, size, hidden, own = config.features, config.heatmap_size, config.ensemble_hidden, config.branch_stacks
    shared = config.stacks - own
    if not own:
        return stem(config) + stack(config) * shared + handed_on(config) * (shared - 1)
    branch = stack(config) * own + handed_on(config) * (own - 1) + linear(hidden, config.num_keypoints, 1)
    ensemble = total(convolution(width, width, kernel, size, bias=True) for kernel in (3, 5, 7))
    ensemble += linear(width, hidden, 1)
    return stem(config) + (stack(config) + handed_on(config)) * shared + branch * config.branches + ensemble


# MPII's size and keypoints; which of the two gave the paper's 90.6 is not known
SIZES: dict[str, dict[str, Any]] = {
    "okdhp-hourglass-4-256x256": sized((256, 256), stacks=4),
    "okdhp-hourglass-8-256x256": sized((256, 256), stacks=8),
    # a narrow stand-in, at most as costly as sharpose-nano-128x96
    "okdhp-hourglass-nano-128x96": sized((128, 96), stacks=2, features=64, depth=3, num_keypoints=17),
    "okdhp-hourglass-nano-128x128-mpii": sized((128, 128), stacks=2, features=64, depth=3),
}

OFFICIAL: Table = ((r"^(?=(?:hg|res|fc|score|fc_|score_)\.)", "shared."),)

SYSTEM = System(
    name="Okdhp",
    config=OkdhpConfig,
    model="sharpose.models.okdhp.model:Okdhp",
    sizes=SIZES,
    cost=cost,
    criterion="sharpose.training.stacked:OkdhpCriterion",
    layouts=(Layout("official", OFFICIAL),),
)
