"""Keypoint tokens to coordinates, as PRTR and TFPose regress them from their queries; not published in this form.

Source: Li et al., "Pose Recognition with Cascade Transformers", CVPR 2021; Mao et al., "TFPose", 2021. There, queries
of a decoder look at image features; here, keypoint tokens go through the same blocks as the patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sharpose.models.keypoint_vit.model import KeypointViT
from sharpose.models.layers.vit import init_linear
from sharpose.models.output import PoseOutput
from sharpose.models.regression_vit.config import RegressionViTConfig


@dataclass(frozen=True)
class RegressionOutput(PoseOutput):
    """`coordinates`: (x, y) of every keypoint, 0 at the centre of the crop's first pixel and 1 at that of its last.

    `heatmaps` are Gaussians drawn around them, so that whatever works on heatmaps works here.
    """

    coordinates: Float[Tensor, "B K 2"]


def point_layers(dim: int) -> list[nn.Module]:
    """Return three layers from a token to a point, before the sigmoid."""
    return [nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, 2)]


class CoordinateHead(nn.Module):
    """Three layers from a token to a point inside the crop: (B, K, D) to (B, K, 2)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(dim), *point_layers(dim))

    def forward(self, tokens: Float[Tensor, "B K D"]) -> Float[Tensor, "B K 2"]:
        """Return the point (x, y) of each keypoint's token, as fractions of the crop."""
        return self.layers(tokens).sigmoid()


def draw(points: Float[Tensor, "B K 2"], size: tuple[int, int], sigma: float) -> Float[Tensor, "B K h w"]:
    """Draw Gaussians of height 1 around `points` (fractions of the crop), on maps of `size` (height, width)."""
    factors = []
    for axis, pixels in ((0, size[1]), (1, size[0])):
        distance = torch.arange(pixels, device=points.device) - points[..., axis, None] * (pixels - 1)
        factors.append(torch.exp(-(distance**2) / (2 * sigma**2)))
    columns, rows = factors
    return rows[..., :, None] * columns[..., None, :]


class RegressionViT(KeypointViT):
    """`KeypointViT` with a head that regresses coordinates."""

    config: RegressionViTConfig

    def __init__(self, config: RegressionViTConfig) -> None:
        super().__init__(config)
        self.head = CoordinateHead(config.embed_dim)
        self.head.apply(init_linear)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> RegressionOutput:
        """Return coordinates of normalised images, and heatmaps drawn from them."""
        coordinates = self.head(self.encode(images)[:, : self.config.num_keypoints])
        return RegressionOutput(draw(coordinates, self.config.heatmap_size, self.config.drawn_sigma), coordinates)
