"""PCK, the fraction of correct keypoints, read off heatmaps while training.

Both functions keep the public release's swapped axes: x is divided by the map's height and y by its width.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sharpose.codecs.heatmaps import peaks


def heatmap_pck(
    heatmaps: Float[Tensor, "B K h w"],
    targets: Float[Tensor, "B K h w"],
    visible: Float[Tensor, "B K"],
    threshold: float = 0.05,
) -> tuple[Float[Tensor, " K"], Float[Tensor, ""]]:
    """Return PCK at `threshold` of the maps' peaks, per keypoint (-1: visible on nobody), and its mean."""
    seen = visible > 0
    right = ((_distances(heatmaps, targets) < threshold) & seen).sum(dim=0)
    per_keypoint = torch.where(seen.any(dim=0), right / seen.sum(dim=0).clamp(min=1), -1.0)
    valid = per_keypoint >= 0
    return per_keypoint, per_keypoint[valid].mean() if valid.any() else per_keypoint.new_zeros(())


def release_instance_pck(
    heatmaps: Float[Tensor, "B K h w"], targets: Float[Tensor, "B K h w"], visible: Float[Tensor, "B K"]
) -> Float[Tensor, " B"]:
    """Return the release's other quality target: the mean of exp(-distance) over visible keypoints; 0 without any."""
    seen = (visible > 0).to(heatmaps)
    return ((-_distances(heatmaps, targets)).exp() * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)


def _distances(heatmaps: Float[Tensor, "B K h w"], targets: Float[Tensor, "B K h w"]) -> Float[Tensor, "B K"]:
    height, width = heatmaps.shape[2:]
    offsets = (peaks(heatmaps)[0] - peaks(targets)[0]) / heatmaps.new_tensor([height, width])
    return offsets.norm(dim=-1)
