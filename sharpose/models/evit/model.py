"""EViT with keypoint tokens: patches that no keypoint looks at are dropped, or fused into one token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sharpose.models.evit.config import EViTConfig
from sharpose.models.keypoint_vit.model import KeypointViT
from sharpose.models.layers.tokens import gather_tokens, select_patches
from sharpose.models.output import PoseOutput


@dataclass(frozen=True)
class EViTOutput(PoseOutput):
    """One entry per block that reduced.

    `attention` that each patch then present got from the keypoints (mean over heads and keypoints), and `keep_indices`
    among those patches, best first.

    `tokens` are those after the final norm, keypoints first; `block_tokens` those after every block. The last block
    gives keypoints alone and reduces nothing, unless `dense_compute`.
    """

    tokens: Float[Tensor, "B N D"]
    attention: tuple[Float[Tensor, "B _"], ...]
    keep_indices: tuple[Int[Tensor, "B _"], ...]
    block_tokens: tuple[Float[Tensor, "B _ D"], ...]


def reduce_patches(
    patches: Float[Tensor, "B n D"], attention: Float[Tensor, "B n"], num_keep: int, fuse: bool
) -> tuple[Float[Tensor, "B left D"], Int[Tensor, "B kept"]]:
    """Return the patches with most attention in descending order, and last the attention-weighted sum of all others."""
    keep, rest = select_patches(attention, num_keep)
    left = gather_tokens(patches, keep)
    if fuse:
        weights = attention.gather(1, rest)[..., None]
        left = torch.cat([left, (gather_tokens(patches, rest) * weights).sum(dim=1, keepdim=True)], dim=1)
    return left, keep


class EViT(KeypointViT):
    """`KeypointViT` that reduces its patches between the attention and the MLP of some blocks."""

    config: EViTConfig

    def forward(self, images: Float[Tensor, "B 3 H W"], keep_rate: float | None = None) -> EViTOutput:
        """Return the output for normalised images; `keep_rate` overrides the configured one, as in its schedule."""
        config, first = self.config, self.config.num_keypoints
        tokens = self.embed(images)
        received, keep_indices, block_tokens = [], [], []
        *earlier, last = self.blocks
        for index, block in enumerate([*earlier, last] if self.dense_compute else earlier):
            present = tokens.shape[1] - first
            kept = config.num_kept(index, present, keep_rate)
            tokens, attention = block.attend(tokens, slice(0, first) if kept < present else None)
            if attention is not None:
                score = attention.mean(dim=(1, 2))[:, first:]
                patches, keep = reduce_patches(tokens[:, first:], score, kept, config.fuse_token)
                tokens = torch.cat([tokens[:, :first], patches], dim=1)
                received.append(score)
                keep_indices.append(keep)
            tokens = block.feed(tokens)
            block_tokens.append(tokens)
        if not self.dense_compute:
            tokens, _ = last.read(tokens[:, :first], last.memory(tokens))
            block_tokens.append(tokens)
        tokens = self.norm(tokens)
        return EViTOutput(
            self.heatmaps(tokens), tokens, tuple(received), tuple(keep_indices), block_tokens=tuple(block_tokens)
        )
