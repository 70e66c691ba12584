"""From keypoint tokens, or from a map of features, to heatmaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.layers.cnn import doubling, heatmap_layer, init_heatmap_layer


class KeypointTokenHead(nn.Module):
    """One token, one heatmap (Section 3.4): (B, K, D) to (B, K, h, w).

    `auto` follows the release: one linear layer when D >= h·w / 4, else two with a hidden width of h·w / 2.
    """

    def __init__(self, dim: int, heatmap_size: tuple[int, int], kind: Literal["auto", "single", "two-layer"]) -> None:
        super().__init__()
        self.heatmap_size = heatmap_size
        pixels = heatmap_size[0] * heatmap_size[1]
        single = kind == "single" or (kind == "auto" and dim >= pixels / 4)
        layers: list[nn.Module] = [nn.Linear(dim, pixels)]
        if not single:
            layers = [nn.Linear(dim, pixels // 2), nn.GELU(), nn.LayerNorm(pixels // 2), nn.Linear(pixels // 2, pixels)]
        self.layers = nn.Sequential(nn.LayerNorm(dim), *layers)

    def forward(self, tokens: Float[Tensor, "B K D"]) -> Float[Tensor, "B K h w"]:
        """Return the heatmap of each keypoint's token."""
        return self.layers(tokens).unflatten(-1, self.heatmap_size)


class DeconvHead(nn.Module):
    """SimpleBaseline's decoder, which ViTPose took over: each 4x4 transposed convolution doubles the map's size."""

    def __init__(self, dim: int, filters: Sequence[int], num_keypoints: int) -> None:
        super().__init__()
        widths, layers = [dim, *filters], []
        for inputs, outputs in pairwise(widths):
            layers += doubling(inputs, outputs)
            nn.init.normal_(layers[-3].weight, std=0.001)  # type: ignore[arg-type]
        self.deconv_layers = nn.Sequential(*layers)
        self.final_layer = heatmap_layer(widths[-1], num_keypoints)
        init_heatmap_layer(self.final_layer)

    def forward(self, features: Float[Tensor, "B D rows columns"]) -> Float[Tensor, "B K h w"]:
        """Return the heatmaps of a map of features, twice as large after each transposed convolution."""
        return self.final_layer(self.deconv_layers(features))
