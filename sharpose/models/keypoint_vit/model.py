"""A plain vision transformer with one token per keypoint: the network that the token-reduction methods thin out."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.keypoint_vit.config import KeypointViTConfig
from sharpose.models.layers.heads import KeypointTokenHead
from sharpose.models.layers.vit import PatchEmbed, init_linear, make_blocks, sincos_positions
from sharpose.models.output import PoseModel, PoseOutput


class KeypointViT(PoseModel):
    """Normalised images (B, 3, H, W) to heatmaps, through tokens `[keypoints, patches]`; a base for other systems.

    Subclasses thin out the patches on their way through the blocks, and return what they did beside the heatmaps.
    The last block computes the keypoint tokens alone, unless `dense_compute`.
    """

    config: KeypointViTConfig
    dense_compute: bool = False
    """Whether to compute as published: every token that is left goes through every block."""

    def __init__(self, config: KeypointViTConfig) -> None:
        super().__init__(config)
        dim = config.embed_dim
        self.keypoint_tokens = nn.Parameter(torch.zeros(1, config.num_keypoints, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.num_patches, dim))
        self.patch_embed = PatchEmbed(config.patch_size, dim)
        self.blocks = make_blocks(
            config.depth, dim, config.num_heads, config.mlp_ratio, config.drop_path, config.norm_eps
        )
        self.norm = nn.LayerNorm(dim, eps=config.norm_eps)
        self.head = KeypointTokenHead(dim, config.heatmap_size, config.head)
        self.apply(init_linear)
        nn.init.trunc_normal_(self.keypoint_tokens, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if config.position_init == "sincos":
            with torch.no_grad():
                self.pos_embed.copy_(sincos_positions(config.grid, dim))

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> PoseOutput:
        """Return the heatmaps of normalised images, the last block computing keypoints alone unless `dense_compute`."""
        first = None if self.dense_compute else self.config.num_keypoints
        return PoseOutput(self.heatmaps(self.norm(self.blocks(self.embed(images), first))))

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """Return all tokens after the final norm, where none is dropped."""
        return self.norm(self.blocks(self.embed(images)))

    def finish(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B n D"]:
        """Return the keypoint tokens after the last block and the final norm; all tokens if `dense_compute`."""
        *_, last = self.blocks
        if self.dense_compute:
            return self.norm(last(tokens)[0])
        return self.norm(last.read(tokens[:, : self.config.num_keypoints], last.memory(tokens))[0])

    def embed(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """Return keypoint tokens, then patches with their positions."""
        patches = self.patch_embed(images) + self.pos_embed
        return torch.cat([self.keypoint_tokens.expand(len(images), -1, -1), patches], dim=1)

    def heatmaps(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B K h w"]:
        """Return heatmaps from tokens after the final norm."""
        return self.head(tokens[:, : self.config.num_keypoints])
