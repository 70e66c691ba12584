"""ToMe for poses: how many patches are merged in every block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from sharpose.models.config import WholeOrZero, check
from sharpose.models.keypoint_vit.config import KeypointViTConfig, family
from sharpose.models.system import EncoderNames, System


def merge_schedule(mean: int, inflection: float, depth: int) -> tuple[int, ...]:
    """Merges per block, linear with this mean: inflection 0 is constant, -1 falls to none, 1 rises from none."""
    first = int(mean * (1 - inflection))
    step = (2 * mean - 2 * first) / (depth - 1) if depth > 1 else 0.0
    return tuple(int(first + step * block) for block in range(depth))


@dataclass(frozen=True, kw_only=True)
class ToMeConfig(KeypointViTConfig):
    """Every block merges some pairs of similar patches, on average `merges`; keypoint tokens never merge."""

    merges: WholeOrZero = 8
    inflection: Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)] = -1.0
    merges_per_block: tuple[WholeOrZero, ...] | None = None
    """Explicit numbers in place of the linear schedule."""
    proportional_attention: bool = True
    """Keys count as often as the patches they stand for; the public code leaves it out when training with merging."""

    def __post_init__(self) -> None:
        super().__post_init__()
        fits = self.merges_per_block is None or len(self.merges_per_block) == self.depth
        check(fits, "merges_per_block", self.merges_per_block, f"{self.depth} numbers, one per block, or none")

    @property
    def schedule(self) -> tuple[int, ...]:
        """Merges that are wanted in each block."""
        if self.merges_per_block is not None:
            return self.merges_per_block
        return merge_schedule(self.merges, self.inflection, self.depth)


def possible_merges(wanted: int, patches: int) -> int:
    """At most half of the patches can merge at once."""
    return min(wanted, patches // 2)


def tokens_per_block(config: ToMeConfig) -> list[int]:
    """Tokens that enter each block, keypoint tokens included; its MLP already has the next one's."""
    patches, counts = config.num_patches, []
    for wanted in config.schedule:
        counts.append(config.num_keypoints + patches)
        patches -= possible_merges(wanted, patches)
    return counts


# Base: a mean of 8 falling to none gives the 12.8 G of the methods it is compared with. Half as deep: twice as many.
SIZES: dict[str, dict[str, Any]] = family("tome", {"merges": 16})

SYSTEM = System(
    name="ToMe",
    config=ToMeConfig,
    model="sharpose.models.tome.model:ToMe",
    sizes=SIZES,
    cost="sharpose.models.tome.cost:tome",
    tokens_per_block=tokens_per_block,
    encoder=EncoderNames(),
    cases={"ToMe": "experiments.conformance.token_reduction:check_tome"},
)
