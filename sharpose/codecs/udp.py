"""Unbiased data processing: the codec of SHaRPose, ViTPose and the UDP rows, and its variant with offset maps.

Targets and crops count in steps between pixel centres, so the stride is (image - 1) / (heatmap - 1).
Source: Huang et al., "The Devil is in the Details: Delving into Unbiased Data Processing", CVPR 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.codecs.grids import UdpGrid
from sharpose.codecs.heatmaps import (
    blur,
    blurred_neighbourhood,
    gaussians,
    newton,
    peaks,
    round_like_reference,
    window_inside,
)


@dataclass(frozen=True)
class UdpCodec(UdpGrid):
    """Subpixel Gaussians inside a window of 3 `sigma`; `kernel` is the size of the blur before the Newton step.

    Works on whichever device its inputs live.
    """

    sigma: float = 2.0
    kernel: int = 11

    def encode(
        self, keypoints: Float[Tensor, "B K 2"], visible: Float[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B K h w"], Float[Tensor, "B K"]]:
        """Return heatmaps and weights (0: invisible, or the window is wholly outside) for keypoints in crop pixels."""
        points = self.to_heatmap(keypoints)
        middle = round_like_reference(points)
        weights = visible * window_inside(middle, 3 * self.sigma, self.heatmap_size)
        return gaussians(points, weights, self.sigma, self.heatmap_size, window=middle), weights

    def find(self, heatmaps: Float[Tensor, "B K h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
        """Return points in heatmap pixels after one Newton step on the blurred map's log, and the raw maps' maxima.

        A map without a positive value gives (-1, -1). The step has no limit, as in the reference.
        """
        points, scores = peaks(heatmaps)
        values = blurred_neighbourhood(heatmaps, points, self.kernel).clamp(0.001, 50).log()
        return points + torch.where(scores[..., None] > 0, newton_step(values), 0.0), scores


@dataclass(frozen=True)
class UdpOffsetCodec(UdpGrid):
    """UDP with three maps per keypoint: disc, x offset, y offset, within `radius_factor` x heatmap height."""

    radius_factor: float = 0.0546875
    kernel: int = 11
    maps_per_keypoint: ClassVar[int] = 3

    @property
    def radius(self) -> float:
        """Return the radius of the discs in heatmap pixels."""
        return self.radius_factor * self.heatmap_size[0]

    def encode(
        self, keypoints: Float[Tensor, "B K 2"], visible: Float[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B K3 h w"], Float[Tensor, "B K"]]:
        """Return maps (3 per keypoint, interleaved) and weights (the visibility) for keypoints in crop pixels."""
        points = self.to_heatmap(keypoints)
        height, width = self.heatmap_size
        columns, rows = torch.arange(width).to(points), torch.arange(height).to(points)
        dx = ((points[..., :1, None] - columns) / self.radius).expand(-1, -1, height, width)
        dy = ((points[..., 1:, None] - rows[:, None]) / self.radius).expand(-1, -1, height, width)
        disc = (dx**2 + dy**2 <= 1) & (visible[..., None, None] > 0.5)
        maps = torch.stack([torch.ones_like(dx), dx, dy], dim=2) * disc[:, :, None]
        return maps.flatten(1, 2), visible

    def find(self, heatmaps: Float[Tensor, "B K3 h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
        """Return heatmap points (the blurred disc's peak plus the blurred offset there) and the peaks' values."""
        points, scores = peaks(blur(heatmaps[:, 0::3], 2 * self.kernel + 1, "reflect"))
        index = (points[..., 1] * heatmaps.shape[3] + points[..., 0]).clamp(min=0)[..., None]
        offsets = [blur(heatmaps[:, i::3], self.kernel, "reflect").flatten(2).gather(2, index) for i in (1, 2)]
        return points + torch.where(scores[..., None] > 0, torch.cat(offsets, dim=2) * self.radius, 0.0), scores


def newton_step(values: Float[Tensor, "B K 3 3"]) -> Float[Tensor, "B K 2"]:
    """Return one Newton step (x, y) toward the maximum from the middle of 3x3 log values, [dy, dx]."""
    centre, left, right = values[..., 1, 1], values[..., 1, 0], values[..., 1, 2]
    up, down = values[..., 0, 1], values[..., 2, 1]
    up_left, down_right = values[..., 0, 0], values[..., 2, 2]
    dx, dy = 0.5 * (right - left), 0.5 * (down - up)
    eps = torch.finfo(torch.float32).eps
    dxx, dyy = right - 2 * centre + left + eps, down - 2 * centre + up + eps
    dxy = 0.5 * (down_right - right - down + 2 * centre - left - up + up_left)
    return newton(dx, dy, dxx, dyy, dxy)
