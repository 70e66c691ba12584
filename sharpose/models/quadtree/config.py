"""The keypoint-token ViT with QuadTree attention: how deep the tree is, and how much of every level is looked into."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from sharpose.models.config import LARGEST_WHOLE, Size, Wholes, check
from sharpose.models.keypoint_vit.config import KeypointViTConfig, family, tokens_per_block
from sharpose.models.keypoint_vit.config import cost as full_cost
from sharpose.models.layers.cost import Cost
from sharpose.models.system import EncoderNames, System


@dataclass(frozen=True, kw_only=True)
class QuadTreeConfig(KeypointViTConfig):
    """Levels are counted from the coarsest, 0; every one has twice the rows and columns of the one before."""

    levels: Annotated[int, Field(ge=2, le=LARGEST_WHOLE)] = 3
    top_k: Wholes = (8, 8)
    """How many cells each query opens, for every level but the finest."""
    form: Literal["A", "B"] = "B"
    """How levels become one message: `A` hands an opened cell's attention on to its four children, `B` weighs the
    messages of all levels by learned weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        step = 2 ** (self.levels - 1)
        even = all(side % step == 0 for side in self.grid)
        check(even, "levels", self.levels, f"as many as the grid {self.grid} can be halved, and one")
        wanted = self.levels - 1
        check(len(self.top_k) == wanted, "top_k", self.top_k, f"{wanted} numbers: one for each level but the finest")
        enough = all(opened <= there for opened, there in zip(self.top_k, self.candidates, strict=False))
        check(enough, "top_k", self.top_k, f"at most what a query sees of each level: {self.candidates[:-1]}")

    @property
    def grids(self) -> list[Size]:
        """Return rows and columns of every level, coarsest first."""
        rows, columns = self.grid
        return [(rows >> level, columns >> level) for level in reversed(range(self.levels))]

    @property
    def candidates(self) -> list[int]:
        """Return how many cells a query sees of each level: all of the coarsest, then children of those opened."""
        return [math.prod(self.grids[0]), *(4 * opened for opened in self.top_k)]


def cost(config: QuadTreeConfig) -> Cost:
    """Return the closed form: full attention's, with other matmuls of queries and keys, and of attention and values."""
    pairs = 0
    for level, (seen, grid) in enumerate(zip(config.candidates, config.grids, strict=True)):
        # keypoint tokens are seen beside the cells, in form A from the coarsest level alone
        aside = config.num_keypoints if level == 0 or config.form == "B" else 0
        pairs += (config.num_keypoints + math.prod(grid)) * (seen + aside)
    fewer = pairs - (config.num_keypoints + config.num_patches) ** 2
    learned = config.levels if config.form == "B" else 0
    return full_cost(config) + Cost(2 * fewer * config.embed_dim, params=learned) * config.depth


SYSTEM = System(
    name="QuadTree",
    config=QuadTreeConfig,
    model="sharpose.models.quadtree.model:QuadTree",
    sizes=family("quadtree"),
    cost=cost,
    tokens_per_block=tokens_per_block,
    encoder=EncoderNames(untrained=("*.level_weights",)),
)
