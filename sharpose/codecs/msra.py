"""The plain codec of SimpleBaseline and HRNet: whole-pixel Gaussians, argmax with a quarter-pixel step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.codecs.heatmaps import gaussians, neighbour, peaks, round_like_reference, window_inside, without_autocast
from sharpose.pose.geometry import Warp, affine_heatmap_to_image


@dataclass(frozen=True)
class MsraCodec:
    """Gaussians of `sigma` heatmap pixels around whole pixels. Sizes are (height, width); crops use the affine warp.

    quarter_step: move decoded peaks a quarter of a pixel toward the higher neighbour.
    """

    image_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    sigma: float = 2.0
    quarter_step: bool = True
    flip_shift: ClassVar[bool] = True
    warp: ClassVar[Warp] = "affine"
    maps_per_keypoint: ClassVar[int] = 1

    def encode(
        self, keypoints: Float[Tensor, "B K 2"], visible: Float[Tensor, "B K"]
    ) -> tuple[Float[Tensor, "B K h w"], Float[Tensor, "B K"]]:
        """Heatmaps and weights (0: invisible, or the window lies wholly outside) for keypoints in crop pixels."""
        points = round_like_reference(keypoints / plain_stride(self.image_size, self.heatmap_size, keypoints))
        weights = visible * window_inside(points, 3 * self.sigma, self.heatmap_size)
        return gaussians(points, weights, self.sigma, self.heatmap_size, window=points), weights

    def decode(self, heatmaps: Float[Tensor, "B K h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
        """Points in heatmap pixels and the maxima; no step next to the border, (-1, -1) without a positive value."""
        heatmaps = without_autocast(heatmaps)
        points, scores = peaks(heatmaps)
        if not self.quarter_step:
            return points.to(heatmaps), scores
        height, width = heatmaps.shape[2:]
        slope = torch.stack(
            [
                neighbour(heatmaps, points, 1, 0) - neighbour(heatmaps, points, -1, 0),
                neighbour(heatmaps, points, 0, 1) - neighbour(heatmaps, points, 0, -1),
            ],
            dim=-1,
        )
        last = points.new_tensor([width - 1, height - 1])
        inside = ((points > 1) & (points < last)).all(dim=-1, keepdim=True)
        return points + 0.25 * slope.sign() * inside, scores

    def to_image(
        self, points: Float[Tensor, "B K 2"], center: Float[Tensor, "B 2"], scale: Float[Tensor, "B 2"]
    ) -> Float[Tensor, "B K 2"]:
        """Heatmap pixels to pixels of the photograph."""
        return affine_heatmap_to_image(points, center, scale, self.heatmap_size)


def plain_stride(image_size: tuple[int, int], heatmap_size: tuple[int, int], like: Tensor) -> Float[Tensor, " 2"]:
    """Crop pixels per heatmap pixel, x before y."""
    return like.new_tensor([image_size[1] / heatmap_size[1], image_size[0] / heatmap_size[0]])
