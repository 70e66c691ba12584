"""Losses on heatmaps, and on which tokens a model keeps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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


def keep_ratio_loss(masks: Sequence[Float[Tensor, "B P"]], ratios: Sequence[float]) -> Float[Tensor, ""]:
    """DynamicViT: squared distance of each image's share of kept patches from the wanted one, mean over reductions."""
    return torch.stack([(m.mean(dim=1) - ratio).square().mean() for m, ratio in zip(masks, ratios, strict=True)]).mean()


def token_distillation(
    student: Float[Tensor, "B P D"], teacher: Float[Tensor, "B P D"], kept: Float[Tensor, "B P"]
) -> Float[Tensor, ""]:
    """DynamicViT: squared error to the unpruned model's patch tokens, averaged over the patches kept to the end."""
    error = (student - teacher).square().mean(dim=2)
    kept = kept.detach()
    return (error * kept).sum() / kept.sum().clamp(min=1)
