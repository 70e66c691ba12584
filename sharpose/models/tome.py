"""ToMe with keypoint tokens: similar patches are merged, a few in every block; nothing is learnt for it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.models.configs.tome import ToMeConfig, possible_merges
from sharpose.models.keypoint_vit import KeypointViT
from sharpose.models.output import PoseOutput
from sharpose.models.token_merging import Matching, match_tokens, merge_tokens
from sharpose.models.vit import Block


@dataclass(frozen=True)
class ToMeOutput(PoseOutput):
    """`sizes`: how many patches each of the last tokens stands for; `matchings`: what merged, block by block.

    The last block gives keypoint tokens alone, and merges nothing, but `in_full`.
    """

    tokens: Float[Tensor, "B N D"]
    sizes: Float[Tensor, "B N"]
    matchings: tuple[Matching, ...]


def read_first(
    block: Block, tokens: Float[Tensor, "B N D"], first: int, key_bias: Float[Tensor, "B N"] | None
) -> Float[Tensor, "B first D"]:
    """The `first` tokens after a block that merges nothing."""
    normed = block.norm1(tokens)
    mixed = block.attn.mix(block.attn.queries(normed[:, :first]), *block.attn.keys_values(normed), key_bias)
    return block.feed(tokens[:, :first] + block.drop_path(block.attn.join(mixed)))


class ToMe(KeypointViT):
    """`KeypointViT` that merges patches between the attention and the MLP of its blocks, by their keys' similarity."""

    config: ToMeConfig

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> ToMeOutput:
        config, first = self.config, self.config.num_keypoints
        tokens = self.embed(images)
        sizes = torch.ones_like(tokens[..., 0])
        matchings: list[Matching] = []
        for index, (block, wanted) in enumerate(zip(self.blocks, config.schedule, strict=True)):
            bias = sizes.log() if config.proportional_attention and matchings else None
            if index + 1 == config.depth and not self.in_full:
                tokens, sizes = read_first(block, tokens, first, bias), sizes[:, :first]
                continue
            q, k, v = block.attn.split(block.norm1(tokens))
            tokens = tokens + block.drop_path(block.attn.join(block.attn.mix(q, k, v, bias)))
            if merges := possible_merges(wanted, int(tokens.shape[1]) - first):
                # the choice is discrete; gradients go through the merged values alone
                matching = match_tokens(k.detach().mean(dim=1), merges, first)
                tokens, sizes = merge_tokens(tokens, sizes, matching)
                matchings.append(matching)
            tokens = block.feed(tokens)
        tokens = self.norm(tokens)
        return ToMeOutput(self.heatmaps(tokens), tokens, sizes, tuple(matchings))
