"""Losses on heatmaps, and on which tokens a model keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sharpose.codecs.choice import HeatmapCodec
from sharpose.training.step_plan import StepPlan


def joint_mse(
    predicted: Float[Tensor, "B K h w"], target: Float[Tensor, "B K h w"], weight: Float[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Return the squared error, averaged over batch, keypoints and pixels; keypoints of weight 0 count as no error.

    Equal to averaging the per-keypoint losses of the ViTPose and SHaRPose code bases.
    """
    return (weight * (predicted - target).square().mean(dim=(2, 3))).mean()


# at which a softmax over a perfect heatmap has nearly all of its mass around the keypoint
LOGIT_SCALE = 10.0


def heatmap_cross_entropy(
    predicted: Float[Tensor, "B K h w"], target: Float[Tensor, "B K h w"], weight: Float[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Return the cross-entropy of heatmaps and targets as distributions over pixels, averaged as `joint_mse`.

    Not in the paper. Keypoints whose target is zero everywhere do not count. It has no plateau at "zero everywhere",
    where squared errors of keypoint tokens stay for long.
    """
    with torch.autocast(predicted.device.type, enabled=False):
        logs = (LOGIT_SCALE * predicted.float()).flatten(2).log_softmax(dim=2)
    wanted, there = as_distribution(target)
    return (weight * there * -(wanted * logs).sum(dim=2)).mean()


def as_distribution(target: Float[Tensor, "B K ..."]) -> tuple[Float[Tensor, "B K N"], Bool[Tensor, "B K"]]:
    """Return each target with a sum of 1 over its pixels, and whether it is anywhere above zero."""
    flat = target.flatten(2)
    mass = flat.sum(dim=2)
    return flat / mass.clamp(min=1e-6)[..., None], mass > 0


def attention_cross_entropy(
    looks: Float[Tensor, "B blocks K N"], target: Float[Tensor, "B K ..."], weight: Float[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Return the cross-entropy of where keypoint tokens look and where keypoints are, averaged as `joint_mse`.

    Not in the paper. `looks` are distributions over N patches, and targets are how much of each heatmap these cover;
    keypoints whose target is zero everywhere do not count. Tokens must find their keypoint before they can describe it,
    and squared errors of heatmaps alone teach them that slowly.
    """
    wanted, there = as_distribution(target)
    error = -(wanted[:, None] * looks.float().clamp(min=1e-6).log()).sum(dim=3).mean(dim=1)
    return (weight * there * error).mean()


def encode_targets(codec: HeatmapCodec, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Return target heatmaps (B, K, h, w) of a batch, and what each keypoint counts (B, K)."""
    targets, weights = codec.encode(batch["keypoints"], batch["visible"])
    return targets, weights * batch.get("label_weight", 1.0)


def heatmap_loss(
    heatmaps: Float[Tensor, "B K h w"], targets: Float[Tensor, "B K h w"], weights: Float[Tensor, "B K"], plan: StepPlan
) -> Float[Tensor, ""]:
    """Return the squared error and, while its weight has not faded, the cross-entropy beside it."""
    loss = joint_mse(heatmaps, targets, weights)
    if plan.cross_entropy:
        loss = loss + plan.cross_entropy * heatmap_cross_entropy(heatmaps, targets, weights)
    return loss


def offset_mse(
    predicted: Float[Tensor, "B K3 h w"], target: Float[Tensor, "B K3 h w"], weight: Float[Tensor, "B K"]
) -> Float[Tensor, ""]:
    """Return the loss of UDP's offset maps: half of disc, x and y errors, offsets counted inside the discs alone."""
    discs = target[:, 0::3] * weight[..., None, None]
    loss = joint_mse(predicted[:, 0::3], target[:, 0::3], weight)
    for axis in (1, 2):
        loss = loss + (discs * (predicted[:, axis::3] - target[:, axis::3])).square().mean()
    return 0.5 * loss


def keep_ratio_loss(masks: Sequence[Float[Tensor, "B P"]], ratios: Sequence[float]) -> Float[Tensor, ""]:
    """Return DynamicViT's ratio loss: squared error of each image's keep ratio to the target, mean over reductions."""
    return torch.stack([(m.mean(dim=1) - ratio).square().mean() for m, ratio in zip(masks, ratios, strict=True)]).mean()


def token_distillation(
    student: Float[Tensor, "B P D"], teacher: Float[Tensor, "B P D"], kept: Float[Tensor, "B P"]
) -> Float[Tensor, ""]:
    """Return DynamicViT's squared error to the unpruned model's patch tokens, averaged over patches kept to the end."""
    error = (student - teacher).square().mean(dim=2)
    kept = kept.detach()
    return (error * kept).sum() / kept.sum().clamp(min=1)
