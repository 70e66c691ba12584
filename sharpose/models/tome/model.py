"""ToMe with keypoint tokens: similar patches are merged, a few in every block; nothing is learnt for it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from sharpose.models.keypoint_vit.model import KeypointViT
from sharpose.models.layers.token_merging import Matching, merging_blocks
from sharpose.models.output import PoseOutput
from sharpose.models.tome.config import ToMeConfig


@dataclass(frozen=True)
class ToMeOutput(PoseOutput):
    """`sizes`: how many patches each of the last tokens stands for; `matchings`: what merged, block by block.

    The last block gives keypoint tokens alone and merges nothing, unless `dense_compute`.
    """

    tokens: Float[Tensor, "B N D"]
    sizes: Float[Tensor, "B N"]
    matchings: tuple[Matching, ...]


class ToMe(KeypointViT):
    """`KeypointViT` that merges patches between the attention and the MLP of its blocks, by their keys' similarity."""

    config: ToMeConfig

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> ToMeOutput:
        """Return the heatmaps of normalised images, the tokens that are left, and what they stand for."""
        config = self.config
        tokens, sizes, matchings = merging_blocks(
            self.blocks,
            self.embed(images),
            config.schedule,
            config.num_keypoints,
            proportional=config.proportional_attention,
            last_dense=self.dense_compute,
        )
        tokens = self.norm(tokens)
        return ToMeOutput(self.heatmaps(tokens), tokens, sizes, matchings)
