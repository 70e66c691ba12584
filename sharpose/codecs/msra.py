"""The plain codec of SimpleBaseline and HRNet: whole-pixel Gaussians, argmax with a quarter-pixel step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.codecs.grids import AffineGrid
from sharpose.codecs.heatmaps import gaussians, neighbour, peaks, round_like_reference, window_inside


@dataclass(frozen=True)
class MsraCodec(AffineGrid):
    """Gaussians of `sigma` heatmap pixels around whole pixels.

    quarter_step: move decoded peaks a quarter of a pixel toward the higher neighbour.
    """

    sigma: float = 2.0
    quarter_step: bool = True

    def encode(
        self, keypoints: Float[Tensor, "B K 2"], visible: Float[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B K h w"], Float[Tensor, "B K"]]:
        """Return heatmaps and weights (0: invisible, or the window is wholly outside) for keypoints in crop pixels."""
        points = round_like_reference(self.to_heatmap(keypoints))
        weights = visible * window_inside(points, 3 * self.sigma, self.heatmap_size)
        return gaussians(points, weights, self.sigma, self.heatmap_size, window=points), weights

    def find(self, heatmaps: Float[Tensor, "B K h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
        """Return points in heatmap pixels and the maxima; no step at the border, (-1, -1) without a positive value."""
        points, scores = peaks(heatmaps)
        if not self.quarter_step:
            return points.to(heatmaps), scores
        height, width = heatmaps.shape[2:]
        higher = [
            neighbour(heatmaps, points, dx, dy) - neighbour(heatmaps, points, -dx, -dy) for dx, dy in ((1, 0), (0, 1))
        ]
        last = points.new_tensor([width - 1, height - 1])
        inside = ((points > 1) & (points < last)).all(dim=-1, keepdim=True)
        return points + 0.25 * torch.stack(higher, dim=-1).sign() * inside, scores
