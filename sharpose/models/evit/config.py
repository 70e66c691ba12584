"""EViT for poses: where patches are dropped, and how many stay."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sharpose.models.keypoint_vit.config import ReducingConfig, family
from sharpose.models.layers.cost import Cost, blocks, embedding, heatmap_head
from sharpose.models.system import EncoderNames, System
from sharpose.runtime.fields import PositiveShare


@dataclass(frozen=True, kw_only=True)
class EViTConfig(ReducingConfig):
    """Inside each of `reduction_blocks`, `keep_rate` of the patches stay; keypoint tokens always do."""

    keep_rates: tuple[PositiveShare, ...] | None = None
    """One rate per reduction block in place of `keep_rate`."""
    fuse_token: bool = True
    """The dropped patches become one token, weighted with the attention that they got."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_one_each("keep_rates")

    def num_kept(self, block: int, patches: int, keep_rate: float | None = None) -> int:
        """Return how many of the `patches` that enter `block` it keeps; `keep_rate` replaces the configured ones."""
        if block not in self.reduction_blocks:
            return patches
        rates = self.keep_rates or (self.keep_rate,) * len(self.reduction_blocks)
        rate = rates[self.reduction_blocks.index(block)] if keep_rate is None else keep_rate
        return math.ceil(rate * patches)


def token_counts(config: EViTConfig) -> list[int]:
    """Return token counts, keypoint tokens included: at the first block's input, then at every block's MLP."""
    patches = [config.num_patches]
    for block in range(config.depth):
        kept = config.num_kept(block, patches[-1])
        patches.append(kept + (config.fuse_token and kept < patches[-1]))
    return [config.num_keypoints + count for count in patches]


def tokens_per_block(config: EViTConfig) -> list[int]:
    """Return tokens that enter each block, keypoint tokens included."""
    return token_counts(config)[:-1]


def cost(config: EViTConfig) -> Cost:
    """Return the closed form; patches are reduced between attention and MLP."""
    tokens = token_counts(config)
    return embedding(config) + blocks(config, tokens[:-1], tokens[1:]) + heatmap_head(config)


def scheduled_keep_rate(keep_rate: float, epoch: float, start: float, epochs: float) -> float:
    """Return the keep rate while training: 1 until epoch `start`, then by a cosine over `epochs` to `keep_rate`."""
    if epoch < start:
        return 1.0
    if epoch >= start + epochs:
        return keep_rate
    return keep_rate + (1 - keep_rate) * (1 + math.cos(math.pi * (epoch - start) / epochs)) / 2


SYSTEM = System(
    name="EViT",
    config=EViTConfig,
    model="sharpose.models.evit.model:EViT",
    # nano: half as deep, so reduced in blocks 2, 3 and 5
    sizes=family("evit", {"reduction_blocks": (2, 3, 5)}),
    cost=cost,
    tokens_per_block=tokens_per_block,
    criterion="sharpose.training.criterion:EViTCriterion",
    encoder=EncoderNames(),
    cases={"EViT": "experiments.conformance.token_reduction:check_evit"},
)
