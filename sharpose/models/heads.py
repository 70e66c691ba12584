"""From keypoint tokens to heatmaps."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn


class KeypointTokenHead(nn.Module):
    """One token, one heatmap (Section 3.4): (B, K, D) to (B, K, h, w).

    `auto` follows the release: one linear layer when D >= h·w / 4, else two with a hidden width of h·w / 2.
    """

    def __init__(
        self, dim: int, heatmap_size: tuple[int, int], kind: Literal["auto", "single", "two-layer"] = "auto"
    ) -> None:
        super().__init__()
        self.heatmap_size = heatmap_size
        pixels = heatmap_size[0] * heatmap_size[1]
        single = kind == "single" or (kind == "auto" and dim >= pixels / 4)
        layers = [nn.Linear(dim, pixels)]
        if not single:
            layers = [nn.Linear(dim, pixels // 2), nn.GELU(), nn.LayerNorm(pixels // 2), nn.Linear(pixels // 2, pixels)]
        self.layers = nn.Sequential(nn.LayerNorm(dim), *layers)

    def forward(self, tokens: Float[Tensor, "B K D"]) -> Float[Tensor, "B K h w"]:
        return self.layers(tokens).unflatten(-1, self.heatmap_size)
