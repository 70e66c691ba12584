"""TransPose: a convolutional stem, a transformer encoder over its map, heatmaps; attention says what a point rests on.

Source: Yang et al., "TransPose: Keypoint Localization via Transformer", ICCV 2021, and its public code. The published
GFLOPs are by that code's own counter, which counts a transposed convolution once per output pixel and adds seven
operations for every entry of an attention matrix; matmuls alone are fewer (`tests/models/test_transpose.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpose.models.hrnet.model import HighResolutionTrunk
from sharpose.models.layers.cnn import doubling, heatmap_layer, init_convolution, init_heatmap_layer
from sharpose.models.layers.positions import sine_table
from sharpose.models.layers.postnorm import EncoderLayer, init_layer
from sharpose.models.layers.tokens import gather_tokens
from sharpose.models.output import PoseModel, PoseOutput
from sharpose.models.simple_baseline.model import ResNet
from sharpose.models.transpose.config import TransPoseConfig


@dataclass(frozen=True)
class Explanation:
    """Which places a keypoint's maximum rests on (Section 3.3).

    `attention`: of the token at the maximum over all places, layer by layer, each map a mean over heads that sums to 1;
    `peaks`: where the maxima are in the heatmaps, as (x, y).
    """

    attention: Float[Tensor, "B layers K rows columns"]
    peaks: Int[Tensor, "B K 2"]


class TransPose(PoseModel):
    """Normalised images (B, 3, H, W) to heatmaps of a quarter of the size; tokens are at a quarter (H), or eighth."""

    def __init__(self, config: TransPoseConfig) -> None:
        super().__init__(config)
        dim = config.embed_dim
        self.backbone, channels = make_stem(config)
        self.reduce = nn.Conv2d(channels, dim, kernel_size=1, bias=False)
        # fixed, and kept with the weights as in the release
        self.pos_embed = nn.Parameter(sine_table(config.grid, dim), requires_grad=False)
        self.encoder = nn.ModuleList(
            EncoderLayer(dim, config.num_heads, config.hidden_dim, config.dropout) for _ in range(config.depth)
        )
        self.deconv_layers = nn.Sequential(*([] if config.stem_widths else doubling(dim, dim)))
        self.head = heatmap_layer(dim, config.num_keypoints)
        self.apply(init_convolution)
        self.encoder.apply(init_layer)
        init_heatmap_layer(self.head)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> PoseOutput:
        """Return heatmaps: stem, encoder, and a 1x1 convolution of its tokens."""
        tokens = self.embed(images)
        for layer in self.encoder:
            tokens = layer(tokens, self.pos_embed)
        return PoseOutput(heatmaps=self.heatmaps(tokens))

    def embed(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N D"]:
        """Return one token for every place of the stem's map."""
        return self.reduce(self.backbone(images)).flatten(2).transpose(1, 2)

    def heatmaps(self, tokens: Float[Tensor, "B N D"]) -> Float[Tensor, "B K h w"]:
        """Return heatmaps from the tokens behind the last layer."""
        maps = tokens.transpose(1, 2).unflatten(2, self.config.grid)
        return self.head(self.deconv_layers(maps))

    @torch.no_grad()
    def explain(self, images: Float[Tensor, "B 3 H W"]) -> Explanation:
        """Explain what the maximum of every keypoint's heatmap depends on."""
        entering, tokens = [], self.embed(images)
        for layer in self.encoder:
            entering.append(tokens + self.pos_embed)
            tokens = layer(tokens, self.pos_embed)
        heatmaps = self.heatmaps(tokens)
        columns = heatmaps.shape[3]
        best = heatmaps.flatten(2).argmax(dim=2)
        peaks = torch.stack([best % columns, best // columns], dim=2)
        factor = columns // self.config.grid[1]
        places = peaks[..., 1] // factor * self.config.grid[1] + peaks[..., 0] // factor
        layers = cast(list[EncoderLayer], list(self.encoder))
        maps = [
            layer.self_attn.weights(gather_tokens(placed, places), placed)
            for layer, placed in zip(layers, entering, strict=True)
        ]
        return Explanation(torch.stack(maps, dim=1).unflatten(3, self.config.grid), peaks)


def make_stem(config: TransPoseConfig) -> tuple[nn.Module, int]:
    """Return what comes before the layers, and its channels."""
    if config.stem_widths:
        return HighResolutionTrunk(config.stem), config.stem_widths[0]
    resnet = ResNet(config.resnet_depth, config.stem_channels, config.resnet_channels, stages=2)
    return resnet, resnet.num_features
