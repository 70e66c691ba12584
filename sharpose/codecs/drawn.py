"""The codec of coordinates that were drawn as Gaussians: reading them off again is exact, also next to the border."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.codecs.heatmaps import neighbour, peaks
from sharpose.codecs.udp import UdpCodec, newton_step


@dataclass(frozen=True)
class DrawnCodec(UdpCodec):
    """As UDP, but decoded without blur.

    The logarithm of a drawn Gaussian is a parabola, so one Newton step finds its middle from any pixel nearby, and the
    blur would pull points away from the border.
    """

    def find(self, heatmaps: Float[Tensor, "B K h w"]) -> tuple[Float[Tensor, "B K 2"], Float[Tensor, "B K"]]:
        """Return points in heatmap pixels, and the maxima of the maps; (-1, -1) for a map without a positive value."""
        points, scores = peaks(heatmaps)
        height, width = heatmaps.shape[2:]
        # the step is taken from a pixel that has neighbours on all sides
        middle = points.clamp(min=1).minimum(points.new_tensor([width - 2, height - 2]))
        rows = [torch.stack([neighbour(heatmaps, middle, dx, dy) for dx in (-1, 0, 1)], dim=-1) for dy in (-1, 0, 1)]
        step = newton_step(torch.stack(rows, dim=-2).clamp(min=1e-6).log())
        return torch.where(scores[..., None] > 0, middle + step, points.to(step)), scores
