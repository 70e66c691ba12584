"""TFPose: one query per keypoint reads a picture's features around its place, which every layer corrects.

Source: Mao et al., "TFPose: Direct Human Pose Estimation with Transformers", 2021: maps of a ResNet at several scales,
an encoder and a decoder with deformable attention, coordinates corrected layer by layer, L1. No code of it is public,
so this is our reading; the maps it reads are those with which its GFLOPs come out (`tests/models/test_queries.py`). Its
auxiliary loss on heatmaps is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.layers.cnn import init_convolution
from sharpose.models.layers.deformable import DeformableAttention, Sizes
from sharpose.models.layers.positions import sine_table
from sharpose.models.layers.postnorm import PositionedAttention, init_layer
from sharpose.models.output import PoseModel
from sharpose.models.regression_vit.model import RegressionOutput, draw, point_layers
from sharpose.models.simple_baseline.model import ResNet
from sharpose.models.tfpose.config import GROUPS, TFPoseConfig


@dataclass(frozen=True)
class TFPoseOutput(RegressionOutput):
    """`coordinates` of the last layer; `layer_coordinates` of every one, in the same convention."""

    layer_coordinates: Float[Tensor, "layers B K 2"]


class Feed(nn.Module):
    """The second half of a layer: an MLP with shortcut and norm."""

    def __init__(self, dim: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear1 = nn.Linear(dim, hidden)
        self.linear2 = nn.Linear(hidden, dim)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """Return tokens after two layers, a shortcut and a norm."""
        deep = self.linear2(self.dropout(F.relu(self.linear1(tokens))))
        return self.norm(tokens + self.dropout(deep))


class Encoder(nn.Module):
    """Every token reads all maps around its own place."""

    def __init__(self, config: TFPoseConfig) -> None:
        super().__init__()
        self.attn = DeformableAttention(config.embed_dim, config.num_heads, config.levels, config.points)
        self.norm = nn.LayerNorm(config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.feed = Feed(config.embed_dim, config.hidden_dim, config.dropout)

    def forward(self, tokens: Tensor, positions: Tensor, places: Tensor, sizes: Sizes) -> Float[Tensor, "B N D"]:
        """Return tokens (B, N, D) that have looked at the places around their own, of all levels."""
        seen = self.attn(tokens + positions, places, tokens, sizes)
        return self.feed(self.norm(tokens + self.dropout(seen)))


class Decoder(nn.Module):
    """Keypoints look at each other, then each reads all maps around the place where it was found last."""

    def __init__(self, config: TFPoseConfig) -> None:
        super().__init__()
        self.self_attn = PositionedAttention(config.embed_dim, config.num_heads, config.dropout)
        self.attn = DeformableAttention(config.embed_dim, config.num_heads, config.levels, config.points)
        self.norm1 = nn.LayerNorm(config.embed_dim)
        self.norm2 = nn.LayerNorm(config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)
        self.feed = Feed(config.embed_dim, config.hidden_dim, config.dropout)

    def forward(
        self, tokens: Tensor, queries: Tensor, places: Tensor, memory: Tensor, sizes: Sizes
    ) -> Float[Tensor, "B K D"]:
        """Return keypoint tokens after attention among themselves, to the memory around their places, and an MLP.

        tokens, queries: (B, K, D); places: (B, K, 2) as fractions of the crop; memory: (B, N, D), of maps of `sizes`.
        """
        placed = tokens + queries
        tokens = self.norm1(tokens + self.dropout(self.self_attn(placed, placed, tokens)))
        seen = self.attn(tokens + queries, places, memory, sizes)
        return self.feed(self.norm2(tokens + self.dropout(seen)))


class TFPose(PoseModel):
    """Normalised images (B, 3, H, W) to `TFPoseOutput`."""

    def __init__(self, config: TFPoseConfig) -> None:
        super().__init__(config)
        dim, sizes = config.embed_dim, config.level_sizes
        self.backbone = ResNet(config.resnet_depth, config.stem_channels, config.resnet_channels)
        widths = [self.backbone.num_features // 2**index for index in reversed(range(config.levels))]
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, dim, kernel_size=1), nn.GroupNorm(GROUPS, dim)) for width in widths
        )
        table = torch.cat([sine_table(size, dim) for size in sizes], dim=1)
        self.pos_embed = nn.Parameter(table, requires_grad=False)
        self.level_embed = nn.Parameter(torch.randn(config.levels, dim))
        self.encoder = nn.ModuleList(Encoder(config) for _ in range(config.encoder_depth))
        self.decoder = nn.ModuleList(Decoder(config) for _ in range(config.decoder_depth))
        self.keypoint_tokens = nn.Parameter(torch.randn(1, config.num_keypoints, dim))
        self.keypoint_queries = nn.Parameter(torch.randn(1, config.num_keypoints, dim))
        self.start = nn.Linear(dim, 2)
        self.heads = nn.ModuleList(nn.Sequential(*point_layers(dim)) for _ in range(config.decoder_depth))
        self.apply(init_convolution)
        self.encoder.apply(init_layer)
        self.decoder.apply(init_layer)
        for module in self.modules():
            if isinstance(module, DeformableAttention):
                module.reset()

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> TFPoseOutput:
        """Return points refined layer by layer, and maps drawn around them."""
        memory, sizes = self.encode(images), self.config.level_sizes
        tokens = self.keypoint_tokens.repeat(len(images), 1, 1)
        found = self.start(self.keypoint_queries).sigmoid().expand(len(images), -1, -1)
        layers = []
        for layer, head in zip(self.decoder, self.heads, strict=True):
            tokens = layer(tokens, self.keypoint_queries, self.from_edges(found), memory, sizes)
            layers.append(correct(found, head(tokens)))
            # a layer learns to correct what it is given, not to be given something else
            found = layers[-1].detach()
        maps = draw(layers[-1], self.config.heatmap_size, self.config.drawn_sigma)
        return TFPoseOutput(maps, layers[-1], torch.stack(layers))

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """Return the tokens of all maps behind the encoder, finest first."""
        sizes = self.config.level_sizes
        maps = self.backbone.pyramid(images)[-self.config.levels :]
        projected = [project(one).flatten(2) for project, one in zip(self.input_proj, maps, strict=True)]
        tokens = torch.cat(projected, dim=2).transpose(1, 2)
        levels = [row.expand(rows * columns, -1) for row, (rows, columns) in zip(self.level_embed, sizes, strict=True)]
        positions, places = self.pos_embed + torch.cat(levels), centres(sizes, tokens).expand(len(images), -1, -1)
        for layer in self.encoder:
            tokens = layer(tokens, positions, places, sizes)
        return tokens

    def from_edges(self, points: Float[Tensor, "B K 2"]) -> Float[Tensor, "B K 2"]:
        """Turn shares between the centres of the crop's outermost pixels into shares from edge to edge."""
        height, width = self.config.image_size
        size = points.new_tensor([width, height])
        return (points * (size - 1) + 0.5) / size


def correct(points: Float[Tensor, "B K 2"], step: Float[Tensor, "B K 2"]) -> Float[Tensor, "B K 2"]:
    """Return points moved by a step in the space before the sigmoid, so that they stay inside the crop."""
    return (torch.logit(points, eps=1e-5) + step).sigmoid()


def centres(sizes: Sizes, like: Tensor) -> Float[Tensor, "1 N 2"]:
    """Return the places of all tokens, (x, y) in fractions of their maps from edge to edge."""
    found = []
    for rows, columns in sizes:
        y = (torch.arange(rows, device=like.device, dtype=like.dtype) + 0.5) / rows
        x = (torch.arange(columns, device=like.device, dtype=like.dtype) + 0.5) / columns
        found.append(torch.stack([x.expand(rows, -1), y[:, None].expand(-1, columns)], dim=2).flatten(0, 1))
    return torch.cat(found)[None]
