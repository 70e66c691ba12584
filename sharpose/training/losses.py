"""Losses on heatmaps."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def joint_mse(
    predicted: Float[Tensor, "B K h w"], target: Float[Tensor, "B K h w"], weight: Float[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Squared error, averaged over batch, keypoints and pixels; keypoints of weight 0 count as without error.

    Equal to averaging the per-keypoint losses of the ViTPose and SHaRPose code bases.
    """
    return (weight * (predicted - target).square().mean(dim=(2, 3))).mean()
