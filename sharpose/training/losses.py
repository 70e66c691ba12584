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


def offset_mse(
    predicted: Float[Tensor, "B K3 h w"], target: Float[Tensor, "B K3 h w"], weight: Float[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Loss of the UDP codec with offset maps: half of disc, x and y errors, offsets counted inside the discs alone."""
    discs = target[:, 0::3] * weight[..., None, None]
    loss = joint_mse(predicted[:, 0::3], target[:, 0::3], weight)
    for axis in (1, 2):
        loss = loss + (discs * (predicted[:, axis::3] - target[:, axis::3])).square().mean()
    return 0.5 * loss
