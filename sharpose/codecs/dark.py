"""DARK (Zhang et al., CVPR 2020), also TokenPose's: subpixel Gaussians, a Taylor step on the log of the blurred map."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sharpose.codecs.grids import AffineGrid
from sharpose.codecs.heatmaps import blur, gaussians, neighbour, newton, peaks, window_inside


@dataclass(frozen=True)
class DarkCodec(AffineGrid):
    """Full-map Gaussians of `sigma` heatmap pixels; `kernel` is the blur before decoding."""

    sigma: float = 2.0
    kernel: int = 11

    def encode(
        self, keypoints: Float[Tensor, "B K 2"], visible: Float[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B K h w"], Float[Tensor, "B K"]]:
        """Return heatmaps and weights (0: invisible, or 3 sigma around all outside) for keypoints in crop pixels."""
        points = self.to_heatmap(keypoints)
        weights = visible * window_inside(points, 3 * self.sigma, self.heatmap_size)
        return gaussians(points, weights, self.sigma, self.heatmap_size), weights

    def find(self, heatmaps: Float[Tensor, "B K h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
        """Return heatmap points and the raw maxima; no step within two pixels of the border or without curvature."""
        points, scores = peaks(heatmaps)
        smooth = blur(heatmaps, self.kernel, "zero")
        smooth = smooth * (scores / smooth.amax(dim=(2, 3)))[..., None, None]
        height, width = heatmaps.shape[2:]
        inside = ((points > 1) & (points < points.new_tensor([width - 2, height - 2]))).all(dim=-1, keepdim=True)
        return points + torch.where(inside, _taylor_step(smooth, points), 0.0), scores


def _taylor_step(smooth: Float[Tensor, "B K h w"], points: Int[Tensor, "B K 2"]) -> Float[Tensor, "B K 2"]:
    def at(dx: int, dy: int) -> Tensor:
        """Return the log of the value (dx, dy) pixels beside each point, (B, K)."""
        return neighbour(smooth, points, dx, dy).clamp(min=1e-10).log()

    centre = at(0, 0)
    dx, dy = 0.5 * (at(1, 0) - at(-1, 0)), 0.5 * (at(0, 1) - at(0, -1))
    dxx, dyy = 0.25 * (at(2, 0) - 2 * centre + at(-2, 0)), 0.25 * (at(0, 2) - 2 * centre + at(0, -2))
    dxy = 0.25 * (at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1))
    return newton(dx, dy, dxx, dyy, dxy)
