"""ViTPose: a plain vision transformer, and a light decoder on its patch tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.layers.cnn import init_heatmap_layer
from sharpose.models.layers.heads import DeconvHead
from sharpose.models.layers.vit import PatchEmbed, init_linear, make_blocks, sincos_positions
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.vitpose.config import ViTPoseConfig


@dataclass(frozen=True)
class ViTPoseOutput(PoseOutput):
    """`features`: the patch tokens after the final norm, as a map."""

    features: Float[Tensor, "B D rows columns"]


class SimpleHead(nn.Module):
    """ReLU, bilinear resizing, one 3x3 convolution."""

    def __init__(self, dim: int, num_keypoints: int, upsample: int) -> None:
        super().__init__()
        self.upsample = upsample
        self.final_layer = nn.Conv2d(dim, num_keypoints, kernel_size=3, padding=1)
        init_heatmap_layer(self.final_layer)

    def forward(self, features: Float[Tensor, "B D rows columns"]) -> Float[Tensor, "B K h w"]:
        """Return the heatmaps of a map of features, `upsample` times as large."""
        resized = F.interpolate(features.relu(), scale_factor=self.upsample, mode="bilinear", align_corners=False)
        return self.final_layer(resized)


class ViTPose(PoseModel):
    """Normalised images (B, 3, H, W) to `ViTPoseOutput`.

    The position table keeps the row of a class token that does not exist; it is added to every patch.
    """

    def __init__(self, config: ViTPoseConfig) -> None:
        super().__init__(config)
        dim = config.embed_dim
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + config.num_patches, dim))
        self.patch_embed = PatchEmbed(config.patch_size, dim, config.patch_padding)
        self.blocks = make_blocks(
            config.depth, dim, config.num_heads, config.mlp_ratio, config.drop_path, config.norm_eps
        )
        self.last_norm = nn.LayerNorm(dim, eps=config.norm_eps)
        if config.head == "simple":
            self.head = SimpleHead(dim, config.num_keypoints, config.upsample)
        else:
            self.head = DeconvHead(dim, config.deconv_filters, config.num_keypoints)
        for module in (self.patch_embed, self.blocks):
            module.apply(init_linear)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        if config.position_init == "sincos":
            with torch.no_grad():
                self.pos_embed.copy_(F.pad(sincos_positions(config.grid, dim), (0, 0, 1, 0)))

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> ViTPoseOutput:
        """Return the heatmaps of normalised images, and the features that they were made from."""
        features = self.features(self.blocks(self.embed(images)))
        return ViTPoseOutput(self.head(features), features)

    def embed(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """Return patches with their positions."""
        return self.patch_embed(images) + self.pos_embed[:, 1:] + self.pos_embed[:, :1]

    def features(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B D rows columns"]:
        """Return what the head reads of the tokens behind a block."""
        return self.last_norm(tokens).transpose(1, 2).unflatten(2, self.config.grid).contiguous()

    def decode_block(self, tokens: Float[Tensor, "B N D"], stage: str) -> Float[Tensor, "B K h w"]:
        """Return heatmaps from the tokens behind any block."""
        return self.head(self.features(tokens))
