"""Object keypoint similarity, the measure behind COCO AP and the target of SHaRPose's quality output."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor


def instance_oks(
    predicted: Float[Tensor, "B K 2"],
    truth: Float[Tensor, "B K 2"],
    visible: Float[Tensor, "B K"],
    area: Float[Tensor, " B"],
    sigmas: Sequence[float],
) -> Float[Tensor, " B"]:
    """Return COCO's OKS of each prediction, mean over visible keypoints; 0 for people without one.

    This is the paper's target. Points and area in the same unit, e.g. photograph pixels and squared photograph pixels.
    """
    variance = (2 * torch.tensor(sigmas).to(predicted)) ** 2
    squared_distance = ((predicted - truth) ** 2).sum(dim=-1)
    error = squared_distance / variance / (area.to(predicted)[:, None] + torch.finfo(torch.float32).eps) / 2
    seen = (visible > 0).to(predicted)
    return ((-error).exp() * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
