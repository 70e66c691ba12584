"""QuadTree attention in closed form."""

from __future__ import annotations

import math

from sharpose.models.keypoint_vit.cost import keypoint_vit
from sharpose.models.layers.cost import Cost
from sharpose.models.quadtree.config import QuadTreeConfig


def quadtree(config: QuadTreeConfig) -> Cost:
    """The plain transformer with other matmuls of queries and keys, and of attention and values."""
    tokens = config.num_keypoints + math.prod(config.grid)
    fewer = pairs(config) - tokens**2
    learned = config.levels if config.form == "B" else 0
    return keypoint_vit(config) + Cost(2 * fewer * config.embed_dim, 0, learned) * config.depth


def pairs(config: QuadTreeConfig) -> int:
    """Pairs of a query and a key in one block, over all levels: keypoints and every cell of a level look."""
    keypoints, count = config.num_keypoints, 0
    for level, (seen, (rows, columns)) in enumerate(zip(config.candidates, config.grids, strict=True)):
        # form A looks at keypoint tokens from the coarsest level alone
        also = keypoints if level == 0 or config.form == "B" else 0
        count += (keypoints + rows * columns) * (seen + also)
    return count
