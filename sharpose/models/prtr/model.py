"""PRTR, its keypoint stage: queries look at a picture's features again and again; each says what it found and where.

Source: Li et al., "Pose Recognition with Cascade Transformers", CVPR 2021, and its public code (`two_stage`). Its first
stage finds people; as everywhere here, boxes are given. Every decoder layer is read out by the same heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.hrnet.model import HighResolutionTrunk
from sharpose.models.layers.cnn import Bottleneck, init_convolution, make_layer
from sharpose.models.layers.positions import sine_table
from sharpose.models.layers.postnorm import DecoderLayer, EncoderLayer, init_layer
from sharpose.models.layers.tokens import gather_tokens
from sharpose.models.output import PoseModel
from sharpose.models.prtr.config import PRTRConfig
from sharpose.models.prtr.matching import assign
from sharpose.models.regression_vit.model import RegressionOutput, draw, point_layers
from sharpose.models.simple_baseline.model import ResNet


@dataclass(frozen=True)
class PRTROutput(RegressionOutput):
    """`coordinates` of the query that was read out for every keypoint; `heatmaps` peak at its probability there.

    `query_logits` and `query_points` are those of all queries behind every decoder layer; the last class is "none".
    """

    query_logits: Float[Tensor, "layers B Q classes"]
    query_points: Float[Tensor, "layers B Q 2"]


class MergingTrunk(HighResolutionTrunk):
    """HRNet as a classifier has it: all branches merged into the coarsest, each widened before."""

    def __init__(self, config: PRTRConfig) -> None:
        super().__init__(config, every_branch=True)
        planes = [config.merge_planes * 2**index for index in range(len(config.widths))]
        self.incre_modules = nn.ModuleList(
            make_layer(Bottleneck, width, own, 1) for width, own in zip(config.widths, planes, strict=True)
        )
        self.downsamp_modules = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * own, 4 * own, 3, stride=2, padding=1), nn.BatchNorm2d(4 * own), nn.ReLU())
            for own in planes[1:]
        )
        merged = config.merged_channels
        self.final_layer = nn.Sequential(nn.Conv2d(4 * planes[-1], merged, 1), nn.BatchNorm2d(merged), nn.ReLU())

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B C h w"]:
        """Return one map of features: every branch widened, and merged at the coarsest size."""
        finest, *others = (widen(maps) for widen, maps in zip(self.incre_modules, self.branches(images), strict=True))
        for halving, maps in zip(self.downsamp_modules, others, strict=True):
            finest = maps + halving(finest)
        return self.final_layer(finest)


class PRTR(PoseModel):
    """Normalised images (B, 3, H, W) to `PRTROutput`."""

    def __init__(self, config: PRTRConfig) -> None:
        super().__init__(config)
        dim, sizes = config.embed_dim, (config.num_heads, config.hidden_dim, config.dropout)
        self.backbone, channels = make_backbone(config)
        self.input_proj = nn.Conv2d(channels, dim, kernel_size=1)
        self.pos_embed = nn.Parameter(sine_table(config.grid, dim), requires_grad=False)
        self.encoder = nn.ModuleList(EncoderLayer(dim, *sizes) for _ in range(config.encoder_depth))
        self.decoder = nn.ModuleList(DecoderLayer(dim, *sizes) for _ in range(config.decoder_depth))
        self.norm = nn.LayerNorm(dim)
        self.queries = nn.Parameter(torch.randn(1, config.num_queries, dim))
        self.class_head = nn.Linear(dim, config.num_keypoints + 1)
        self.head = nn.Sequential(*point_layers(dim))
        self.apply(init_convolution)
        self.encoder.apply(init_layer)
        self.decoder.apply(init_layer)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> PRTROutput:
        """Return points, their classes of every decoder layer, and maps drawn around the points."""
        states = self.norm(torch.stack(self.decode(self.encode(images))))
        logits, points = self.class_head(states), self.head(states).sigmoid()
        chances = logits[-1].softmax(dim=2)[..., :-1].transpose(1, 2)
        queries = chances.argmax(dim=2) if self.config.readout == "best" else assign(-chances)
        coordinates, scores = gather_tokens(points[-1], queries), chances.gather(2, queries[..., None])
        heatmaps = draw(coordinates, self.config.heatmap_size, self.config.drawn_sigma) * scores[..., None]
        return PRTROutput(heatmaps, coordinates, logits, points)

    def encode(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """Return the memory: one token for every place of the backbone's map."""
        tokens = self.input_proj(self.backbone(images)).flatten(2).transpose(1, 2)
        for layer in self.encoder:
            tokens = layer(tokens, self.pos_embed)
        return tokens

    def decode(self, memory: Float[Tensor, "B N D"]) -> list[Tensor]:
        """Return the queries behind every layer, (B, Q, D) each, from zero on; their embeddings are positions."""
        tokens = torch.zeros_like(self.queries).expand(len(memory), -1, -1)
        states = []
        for layer in self.decoder:
            tokens = layer(tokens, self.queries, memory, self.pos_embed)
            states.append(tokens)
        return states


def make_backbone(config: PRTRConfig) -> tuple[nn.Module, int]:
    """Return what comes before the transformer, and its channels."""
    if config.widths:
        return MergingTrunk(config), config.merged_channels
    resnet = ResNet(config.resnet_depth, config.stem_channels, config.resnet_channels)
    return resnet, resnet.num_features
