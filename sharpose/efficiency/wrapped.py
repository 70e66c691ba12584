"""Models of other libraries behind the interface of ours."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sharpose.models.output import PoseModel, PoseOutput


class HeatmapsOnly(PoseModel):
    """A pose model of Hugging Face transformers."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> PoseOutput:
        """Return the heatmaps (B, K, h, w) of normalised images (B, 3, H, W)."""
        return PoseOutput(self.network(images).heatmaps)


class FeaturesOnly(nn.Module):
    """A backbone of timm; it finds no keypoints."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the tokens of normalised images (B, 3, H, W) after the final norm."""
        return self.network.forward_features(images)
