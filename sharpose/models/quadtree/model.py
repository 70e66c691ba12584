"""The keypoint-token ViT whose tokens look at patches coarsely first, and closely only where they attend to."""

from __future__ import annotations

from sharpose.models.keypoint_vit.model import KeypointViT
from sharpose.models.layers.vit import init_linear
from sharpose.models.quadtree.attention import QuadTreeAttention
from sharpose.models.quadtree.config import QuadTreeConfig


class QuadTree(KeypointViT):
    """`KeypointViT` with `QuadTreeAttention` in every block; not published in this form."""

    config: QuadTreeConfig

    def __init__(self, config: QuadTreeConfig) -> None:
        super().__init__(config)
        for block in self.blocks:
            block.attn = QuadTreeAttention(
                config.embed_dim, config.num_heads, config.num_keypoints, config.grids, config.top_k, config.form
            )
            block.attn.apply(init_linear)
