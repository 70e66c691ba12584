"""ToMe for poses: how many patches are merged in every block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from sharpose.models.config import WholeOrZero, check
from sharpose.models.keypoint_vit.config import KeypointViTConfig, family
from sharpose.models.layers.cost import Cost, embedding, heatmap_head, merging_blocks
from sharpose.models.system import EncoderNames, System


def merge_schedule(mean: int, inflection: float, depth: int) -> tuple[int, ...]:
    """Return merges per block, linear with this mean: inflection 0 is constant, -1 falls to none, 1 rises from none."""
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
        """Return merges that are wanted in each block."""
        if self.merges_per_block is not None:
            return self.merges_per_block
        return merge_schedule(self.merges, self.inflection, self.depth)


def possible_merges(wanted: int, patches: int) -> int:
    """Return how many pairs merge: `wanted`, or half of the patches where these are fewer."""
    return min(wanted, patches // 2)


def merged_counts(patches: int, schedule: Sequence[int]) -> list[int]:
    """Return patch counts, at the first block's input, then at every block's MLP, for a schedule of merges."""
    counts = [patches]
    for wanted in schedule:
        counts.append(counts[-1] - possible_merges(wanted, counts[-1]))
    return counts


def tokens_per_block(config: ToMeConfig) -> list[int]:
    """Return tokens that enter each block, keypoint tokens included."""
    return [config.num_keypoints + patches for patches in merged_counts(config.num_patches, config.schedule)[:-1]]


def cost(config: ToMeConfig) -> Cost:
    """Return the closed form; patches merge between attention and MLP."""
    merging = merging_blocks(config, merged_counts(config.num_patches, config.schedule))
    return embedding(config) + merging + heatmap_head(config)


SYSTEM = System(
    name="ToMe",
    config=ToMeConfig,
    model="sharpose.models.tome.model:ToMe",
    # base: a mean of 8 falling to none gives the 12.8 G of what it is compared with; nano, half as deep: twice as many
    sizes=family("tome", {"merges": 16}),
    cost=cost,
    tokens_per_block=tokens_per_block,
    encoder=EncoderNames(),
    cases={"ToMe": "experiments.conformance.token_reduction:check_tome"},
)
